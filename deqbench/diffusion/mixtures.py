"""Analytic chains: data that are a mixture of Gaussians, whose noise predictor is known exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """K equal Gaussians of one standard deviation; called as a noise predictor, ((M, *dims), (M,)) -> (M, *dims).

    For x = sqrt(alpha_bar) (centre + deviation n) + sqrt(1 - alpha_bar) eps with standard normal n and eps, and
    s^2 = alpha_bar deviation^2 + 1 - alpha_bar, the posterior mean of eps is
    sqrt(1 - alpha_bar) / s^2 (x - sqrt(alpha_bar) sum_k w_k centre_k),
    w = softmax(-||x - sqrt(alpha_bar) centre_k||^2 / (2 s^2)).
    """

    centres: Tensor  # (K, *dims) float64
    deviation: float
    alpha_bar: Tensor  # (train_steps,) float64

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """The posterior mean of the noise, in the dtype of x; computed in float64."""
        points, centres = x.double().flatten(1), self.centres.flatten(1)
        a = self.alpha_bar[t][:, None]
        variance = a * self.deviation**2 + 1 - a
        # of the squared distance, what varies
        products = points @ centres.T * a.sqrt() - a * centres.square().sum(1) / 2
        mean = torch.softmax(products / variance, 1) @ centres
        return ((points - a.sqrt() * mean) * (1 - a).sqrt() / variance).view_as(x).to(x.dtype)


def smooth_centres(count: int, shape: tuple[int, int, int], seed: int) -> Tensor:
    """(count, *shape) float64 random pictures in [-1, 1] whose spectrum falls as in photographs.

    Amplitudes of the discrete Fourier transform fall with frequency f as 1 / (1 + f); values go through tanh.
    """
    height, width = shape[1:]
    noise = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows, columns = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    falling = 1 / (1 + (rows[:, None] ** 2 + columns**2).sqrt())
    pictures = torch.fft.irfft2(torch.fft.rfft2(noise) * falling, s=(height, width))
    return torch.tanh(pictures / pictures.std())
