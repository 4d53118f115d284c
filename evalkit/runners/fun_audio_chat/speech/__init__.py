"""From speech ids to sound: segmentation, and the vocoder in a process of its own."""
