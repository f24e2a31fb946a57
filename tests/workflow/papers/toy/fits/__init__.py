"""Means of a density, learnt on several splits of its rows."""
