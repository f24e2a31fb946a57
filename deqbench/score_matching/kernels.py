"""Gaussian kernels between features: the head of a kernel density model, and its parts by inducing point."""

import torch
from torch import Tensor


def gaussian_kernels(features: Tensor, centres: Tensor, weights: Tensor, rho: Tensor, sigma: Tensor) -> Tensor:
    """sum_m weights_m sum_r rho_r exp(-|features_r - centres_rm|^2 / (2 sigma_r^2)), (B,).

    features: (R, B, h) of B rows under R extractors; centres: (R, M, h) of M inducing points; weights: (M,);
    rho, sigma: (R,), sigma > 0. Differentiable in every argument as often as exp is.
    Source: DEQ score matching, appendix D.1.
    """
    return torch.matmul(_mixed(features, centres, rho, sigma), weights)


def kernels_by_point(features: Tensor, centres: Tensor, rho: Tensor, sigma: Tensor) -> Tensor:
    """sum_r rho_r exp(-|features_r - centres_rm|^2 / (2 sigma_r^2)), (B, M): what `weights` weigh."""
    return _mixed(features, centres, rho, sigma)


def _mixed(features: Tensor, centres: Tensor, rho: Tensor, sigma: Tensor) -> Tensor:
    # |a - b|^2 = |a|^2 - 2 a'b + |b|^2: products of matrices in place of an array (R, B, M, h).
    crossed = torch.matmul(features, centres.transpose(-1, -2))  # (R, B, M)
    squares = features.square().sum(-1, keepdim=True) - 2 * crossed + centres.square().sum(-1)[:, None]
    kernels = torch.exp(squares * (-0.5 / sigma.square())[:, None, None])
    return (kernels * rho[:, None, None]).sum(0)
