"""The phantom gradient in score matching: what it is worth, on paper and in training. Source: 3.2 to 3.4, C, F."""
