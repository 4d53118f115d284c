"""What a checkpoint folder holds: its description, its weights, its digest."""
