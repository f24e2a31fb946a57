"""Experiments of the DEQ-DDIM paper."""
