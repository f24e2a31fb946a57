"""The images that are inverted, with the latents that made them."""
