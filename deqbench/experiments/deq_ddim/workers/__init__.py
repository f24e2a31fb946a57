"""Times by the number of workers that share each round."""
