"""Score matching: losses, their derivatives, and models whose deep part may be an equilibrium layer."""
