"""Benchmarks and reproductions of deep-equilibrium methods in generative modelling."""

__version__ = "0.1.0"
