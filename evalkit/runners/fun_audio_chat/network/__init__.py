"""The network: audio towers, language model, speech head."""
