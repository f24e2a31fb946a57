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
    """The jet of the sum."""
    middle = centres.detach().mean(1, keepdim=True)  # small differences of large features would lose digits
    phi, c = features.value - middle, centres - middle
    scale = sigma.square().reciprocal()[:, None, None]
    apart = phi.square().sum(-1, keepdim=True) - 2 * phi @ c.mT + c.square().sum(-1)[:, None]  # |d|^2, (R, B, M)
    parts = (apart * (-scale / 2)).exp() * (rho[:, None, None] * weights)
    total = parts.sum(-1)
    slope = (parts @ c - total[..., None] * phi) * scale  # (R, B, h), the gradient in the features
    tangents = features.whole()
    assert tangents is not None
    laplacian = None
    if features.laplacian is not None:
        bent, trace = _bent(features, phi, c)
        laplacian = (slope * features.laplacian).sum(-1)
        laplacian = laplacian + (parts * bent).sum(-1) * scale[..., 0].square() - total * trace * scale[..., 0]
    by_kernel: Any = Jet(total, (slope * tangents).sum(-1), laplacian, features.basis)  # (R, B)
    return by_kernel.sum(0)  # type: ignore[no-any-return]


def _bent(features: Jet, phi: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """sum_p (T_p' d)^2 for d = phi - c, (R, B, M), and sum_p |T_p|^2, (R, B), of tangents T_p.

    With many directions by way of S = sum_p T_p T_p', (h, h) a row: d' S d is a product of matrices, and no array of
    directions by points is made.
    """
    tangents = features.whole()
    assert tangents is not None
    if len(tangents) < phi.shape[-1]:
        apart = (tangents * phi).sum(-1, keepdim=True) - tangents @ c.mT  # (P, R, B, M)
        return Jet(apart[0], apart, None, features.basis).inner(), features.inner().sum(-1)
    spread = tangents.permute(1, 2, 3, 0) @ features.weighed().permute(1, 2, 0, 3)  # S, (R, B, h, h)
    pairs = (c[..., None] * c[..., None, :]).flatten(2)  # (R, M, h h)
    turned = (spread @ phi[..., None])[..., 0]
    bent = (phi * turned).sum(-1, keepdim=True) - 2 * turned @ c.mT + spread.flatten(2) @ pairs.mT
    return bent, spread.diagonal(dim1=-2, dim2=-1).sum(-1)


def squared_norm(x: Any) -> Any:
    """|x|^2 of rows (B, d), (B,); x may be a jet, such as that of the identity, whose tangents all rows share."""
    if not isinstance(x, Jet) or x.tangents is None or x.tangents.shape[1] > 1 or x.basis is not None:
        return x.square().sum(-1)
    flat = x.tangents[:, 0]  # (P, d)
    laplacian = None if x.laplacian is None else 2 * ((x.value * x.laplacian).sum(-1) + flat.square().sum())
    return Jet(x.value.square().sum(-1), 2 * flat @ x.value.T, laplacian)
