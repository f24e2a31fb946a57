"""Every method, rate and budget: errors, seconds, both together. Source: figures 1b and 3, tables S1a to S2b."""
