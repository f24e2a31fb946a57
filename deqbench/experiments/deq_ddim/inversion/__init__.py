"""Latents of test images by several methods, their losses and seconds. Source: DEQ-DDIM, table 3, figures 8 and 17."""
