"""Peak bytes of one iteration, and frames that fit. Source: tables S1a to S1c, figure 3, abstract."""
