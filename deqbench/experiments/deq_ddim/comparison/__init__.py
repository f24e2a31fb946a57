"""All samplers on the same chains."""
