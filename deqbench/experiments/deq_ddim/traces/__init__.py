"""Joint solves round by round. Source: DEQ-DDIM, figures 1 and 11."""
