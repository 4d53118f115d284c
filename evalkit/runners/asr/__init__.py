"""The engines behind ``--asr``, a file each; `engines` builds the one that the user names."""
