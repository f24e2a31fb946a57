"""Long joint solves, which settle or go round."""
