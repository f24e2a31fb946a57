"""VAEs with an implicit encoder: costs, score networks on one encoder, joint training. Table 1, figures 1, 8."""
