"""Tree-ring keys: rings in the Fourier transform of x_T that mark who drew it.

Source: Wen et al., "Tree-Ring Watermarks" (2023), section 3.3, and its released code, optim_utils.py.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ncx2
from torch import Tensor

from deqbench.errors import UserError

KEYS = 500_000  # the number of the first key among a seed's draws, far from those of images


def ring_of(size: int, radius: int) -> Tensor:
    """(size, size) int64: the ring of each frequency about the middle, 1 to radius, 0 outside; ring 1 has the middle.

    UserError: a radius that reaches the border, where a frequency has no mirror image on the grid.
    """
    if not 1 <= radius < size / 2:
        raise UserError(f"radius: expected 1 to {(size - 1) // 2}, within latents {size} wide; found {radius}")
    at = torch.arange(size, dtype=torch.float64) - size // 2
    distance = (at[:, None] ** 2 + at**2).sqrt()
    ring = distance.ceil().clamp_min(1).long()
    return ring.where(ring <= radius, 0)


def spectrum(x: Tensor) -> Tensor:
    """(..., c, h, w) complex128: the unitary Fourier transform over the last two axes, frequency 0 in the middle."""
    return torch.fft.fftshift(torch.fft.fft2(x.double(), norm="ortho"), dim=(-2, -1))


def keys(seed: int, count: int, shape: tuple[int, int, int], radius: int, *, symmetric: bool = True) -> Tensor:
    """(K, c, h, w) complex128: one value for each key, channel and ring, NaN where a key says nothing.

    The released code draws complex values of mean square 1, as normal noise has them, and drops the imaginary part of
    the marked noise, which takes theirs with it. symmetric: they are real, so that a real x_T can hold them, and of
    mean square 1/2, so that x_T is marked as strongly. UserError: latents that are not square, or the radius.
    """
    channels, height, width = shape
    if height != width:
        raise UserError(f"watermark: expected square latents; found {height} x {width}")
    ring = ring_of(width, radius)
    drawn = torch.full((count, *shape), complex("nan"), dtype=torch.complex128)
    for number, key in enumerate(drawn):
        state = np.random.SeedSequence([seed, KEYS + number])
        generator = torch.Generator().manual_seed(int(state.generate_state(1)[0]))
        dtype = torch.float64 if symmetric else torch.complex128
        values = torch.randn(channels, radius, dtype=dtype, generator=generator).to(torch.complex128)
        key[:, ring > 0] = values[:, ring[ring > 0] - 1] * (0.5**0.5 if symmetric else 1)
    return drawn


def marked(x_T: Tensor, key: Tensor) -> Tensor:
    """x_T (B, c, h, w) with the key of each, (B, c, h, w), in the place of those coefficients; real, of x_T's dtype."""
    mixed = torch.where(key.isnan(), spectrum(x_T), key)
    noise = torch.fft.ifft2(torch.fft.ifftshift(mixed, dim=(-2, -1)), norm="ortho")
    return noise.real.to(x_T.dtype)


def distances(x: Tensor, known: Tensor) -> Tensor:
    """(B, K) float64: mean distance of the coefficients of x (B, c, h, w) to those of each key (K, c, h, w)."""
    return (spectrum(x)[:, None] - known).abs().flatten(2).nanmean(2)


def classified(x: Tensor, known: Tensor) -> Tensor:
    """(B,) int64: the nearest key; -1, which is none, where x is not finite."""
    finite = x.isfinite().flatten(1).all(1)
    return distances(x, known).nan_to_num().argmin(1).where(finite, -1)


def coordinates(coefficients: Tensor) -> Tensor:
    """(..., D) float64: independent real coordinates of the coefficients that are not NaN, of latents that are real.

    A real latent's coefficients come in conjugate pairs: only one of each is taken, and the middle's real part. Of
    normal noise each coordinate is standard normal. coefficients: (..., c, h, w), NaN at the same places for all.
    """
    size = coefficients.shape[-1]
    at = torch.arange(size) - size // 2
    ahead = (at[:, None] > 0) | ((at[:, None] == 0) & (at > 0))
    half = coefficients[..., ahead].flatten(-2) * 2**0.5
    middle = coefficients[..., size // 2, size // 2].real
    return torch.cat([half.real, half.imag, middle], dim=-1)


def p_values(x: Tensor, key: Tensor) -> NDArray[np.float64]:
    """(B,): how likely noise without a key comes as near to the key as x does. x, key: (B, c, h, w), a key for each.

    The squared distance over the variance of x's coefficients is taken for noncentral chi-square; that variance being
    x's own, p-values of mere noise are somewhat nearer to 1/2 than uniform ones. The released code counts both of each
    conjugate pair, which makes its p-values too small. Source: Wen et al., section 3.3.
    """
    inside = ~key.isnan()
    wanted = coordinates(key)
    told = ~wanted[0].isnan()
    measured = coordinates(spectrum(x).where(inside, complex("nan")))[:, told]
    wanted = wanted[:, told]
    variance = measured.var(1, keepdim=True)
    statistic = ((measured - wanted).square() / variance).sum(1)
    return np.asarray(ncx2.cdf(statistic, int(told.sum()), (wanted.square() / variance).sum(1)), dtype=np.float64)
