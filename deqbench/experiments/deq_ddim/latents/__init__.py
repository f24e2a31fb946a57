"""States of a chain after a few solver steps. Source: DEQ-DDIM, figures 2, 10 and 18."""
