"""Gradients of the inversion loss beside the exact one."""
