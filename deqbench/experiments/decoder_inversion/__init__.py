"""Experiments of the decoder-inversion paper."""
