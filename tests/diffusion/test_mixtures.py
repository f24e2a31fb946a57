"""The analytic noise predictor against autograd through the mixture's log density, and a closed-form Gaussian."""

import math

import pytest
import torch

from deqbench.diffusion.mixtures import GaussianMixture, smooth_centres
from tests.diffusion.chains import make, relative

ALPHA_BAR = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
CENTRES = torch.randn(5, 1, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("t", [0, 10, 400, 999])
def test_eps_is_the_score_of_the_noised_mixture(t):
    mixture = GaussianMixture(CENTRES, 0.3, ALPHA_BAR)
    a = float(ALPHA_BAR[t])
    x = torch.randn(4, 1, 2, 3, generator=torch.Generator().manual_seed(t), dtype=torch.float64).requires_grad_()
    variance = a * 0.3**2 + 1 - a
    squares = (x[:, None] - math.sqrt(a) * CENTRES).square().flatten(2).sum(2)
    (score,) = torch.autograd.grad(torch.logsumexp(-squares / (2 * variance), 1).sum(), x)
    assert relative(mixture(x.detach(), torch.full((4,), t)), -math.sqrt(1 - a) * score) < 1e-12


def test_one_centre_is_a_gaussian_whose_chain_ends_near_its_data():
    chain, *_ = make(steps=500, grid="uniform-released")
    mixture = GaussianMixture(torch.zeros(1, *chain.x_T.shape[1:]).double(), 0.5, ALPHA_BAR)
    object.__setattr__(chain, "eps_model", mixture)
    x = list(chain.walk())[-1]
    before = float(chain.alpha_bar[0])
    assert relative(x, chain.x_T * 0.5 / math.sqrt(before * 0.25 + 1 - before)) < 0.02  # the flow of N(0, 0.25 I)


def test_pictures_are_seeded_bounded_and_smooth():
    first, again = smooth_centres(6, (3, 16, 16), seed=1), smooth_centres(6, (3, 16, 16), seed=1)
    assert torch.equal(first, again) and first.abs().max() < 1
    assert not torch.equal(first, smooth_centres(6, (3, 16, 16), seed=2))
    steps = (first[..., 1:] - first[..., :-1]).square().mean()
    assert steps < 1.3 * first.var()  # white noise: twice the variance
