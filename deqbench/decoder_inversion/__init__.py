"""Inversion of a latent-diffusion decoder: z with D(z) = x, without gradients and with."""
