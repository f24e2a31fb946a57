"""Experiments of DEQ score matching: a folder a kind."""
