"""Ways to differentiate score-matching losses: seconds and bytes."""
