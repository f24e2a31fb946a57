"""Times and memory by batch size."""
