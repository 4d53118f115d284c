"""Fun-Audio-Chat on a GPU of your own: the published checkpoint folder, batched, without the upstream checkout."""
