"""Data sets, their fixed splits, and checkpoints."""
