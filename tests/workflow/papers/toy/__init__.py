"""A paper outside the package: its data and the kinds of its own experiments."""
