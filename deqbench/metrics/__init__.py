"""Scores, errors and intervals."""
