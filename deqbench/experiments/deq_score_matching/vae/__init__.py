"""VAEs with an implicit encoder: costs, score networks on one encoder, joint training. Source: table 1, figures 1, 8."""
