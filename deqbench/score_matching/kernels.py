"""Gaussian kernels between features: the head of a kernel density model, and its parts by inducing point."""

from typing import Any

import torch
from torch import Tensor

from deqbench.solvers.jets import Jet


def gaussian_kernels(features: Any, centres: Tensor, weights: Tensor, rho: Tensor, sigma: Tensor) -> Any:
    """sum_m weights_m sum_r rho_r exp(-|features_r - centres_rm|^2 / (2 sigma_r^2)), (B,).

    features: (R, B, h) of B rows under R extractors; centres: (R, M, h) of M inducing points; weights: (M,);
    rho, sigma: (R,), sigma > 0. Differentiable in every argument as often as exp is. features may be a jet.
    Source: DEQ score matching, appendix D.1.
    """
    if isinstance(features, Jet) and features.tangents is not None:
        return _jet(features, centres, weights, rho, sigma)
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


def _jet(features: Jet, centres: Tensor, weights: Tensor, rho: Tensor, sigma: Tensor) -> Jet:
    """The jet of the sum, with one array of directions by points in place of the four that its parts would make."""
    middle = centres.detach().mean(1, keepdim=True)  # small differences of large features would lose digits
    phi, c = features.value - middle, centres - middle
    scale = sigma.square().reciprocal()[:, None, None]
    shared = (phi.square().sum(-1, keepdim=True) - 2 * phi @ c.mT + c.square().sum(-1)[:, None]) * (-scale / 2)
    parts = shared.exp() * (rho[:, None, None] * weights)  # (R, B, M)
    total = parts.sum(-1)
    slope = (parts @ c - total[..., None] * phi) * scale  # (R, B, h), the gradient in the features
    tangents = features.whole()
    assert tangents is not None
    laplacian = None
    if features.laplacian is not None:
        apart = (tangents * phi).sum(-1, keepdim=True) - tangents @ c.mT  # (P, R, B, M)
        bent = (parts * Jet(parts, apart, None, features.basis).inner()).sum(-1) * scale[..., 0].square()
        spread = total * features.inner().sum(-1) * scale[..., 0]
        laplacian = (slope * features.laplacian).sum(-1) + bent - spread
    return torch.sum(Jet(total, (slope * tangents).sum(-1), laplacian, features.basis), 0)  # type: ignore[call-overload,no-any-return]
