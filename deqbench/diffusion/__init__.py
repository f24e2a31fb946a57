"""Diffusion chains: schedules, the DDIM chain as a map, samplers."""
