"""Noise-conditional score networks: costs, trainings, annealed samples. Source: table 5, figures 4 and 9."""
