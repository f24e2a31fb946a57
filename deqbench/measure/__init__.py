"""Time, progress and, later, memory."""
