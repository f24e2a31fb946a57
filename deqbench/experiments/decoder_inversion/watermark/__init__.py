"""Tree-ring keys told apart from inverted latents. Source: table 2, figures S1 and S2."""
