"""Images of single-image sampling, their scores and times. Source: DEQ-DDIM, tables 1, 2 and 4."""
