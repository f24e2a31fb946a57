"""Images from one x_T at several eta. Source: DEQ-DDIM, figures 12 and 13."""
