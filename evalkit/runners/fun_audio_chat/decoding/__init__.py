"""Batched generation: rows, steps, draws, graphs, the scheduler."""
