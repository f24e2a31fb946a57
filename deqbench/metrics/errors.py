"""Errors of images against exact ones."""

from torch import Tensor

TARGET = 1e-3  # an error of x_0 that stays below it counts as reached


def relative_error(reached: Tensor, exact: Tensor) -> Tensor:
    """(B,) ||reached - exact||_2 / ||exact||_2 of each image, in float64."""
    difference = (reached.double() - exact.double()).flatten(1).norm(dim=1)
    return difference / exact.double().flatten(1).norm(dim=1)
