"""Iterates of inversions: cocoercivity, theorems, half precision. Source: figures 2, 4, S4, sections 3.1 to 3.4."""
