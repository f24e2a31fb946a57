"""Time, memory and progress."""
