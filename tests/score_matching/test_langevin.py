"""Annealed Langevin dynamics draw from a Gaussian whose scores are known, with the variance of a finite step."""

import pytest
import torch

from deqbench.score_matching import langevin

MEAN, STD = 0.7, 0.4


def scores(sigmas):
    """Of N(MEAN, STD^2 + sigma^2)."""
    return lambda x, level: -(x - MEAN) / (STD**2 + float(sigmas[level]) ** 2)


def sampled(rate, **options):
    sigmas = langevin.geometric(2.0, 0.1, 5)
    start = torch.full((20000, 1), 5.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    return langevin.sample(scores(sigmas), start, sigmas, steps=60, rate=rate, generator=generator, **options)


def test_levels_are_geometric_and_fall():
    sigmas = langevin.geometric(1.0, 0.1, 10)
    assert (sigmas[0], sigmas[-1]) == (pytest.approx(1.0), pytest.approx(0.1))
    torch.testing.assert_close(sigmas[1:] / sigmas[:-1], torch.full((9,), 0.1 ** (1 / 9), dtype=torch.float64))


@pytest.mark.parametrize("rate", [0.02, 0.03])
def test_a_gaussian_s_mean_and_variance_come_out(rate):
    found = sampled(rate)
    variance = STD**2 + 0.1**2
    stationary = variance / (1 - rate / (4 * variance))  # of x <- (1 - a / 2v) x + sqrt(a) n
    assert found.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert found.var().item() == pytest.approx(stationary, rel=0.06)


def test_the_last_mean_takes_the_last_noise_away():
    noisy, clean = sampled(0.02), sampled(0.02, denoise=True)
    assert clean.var() < noisy.var()
    shrunk = 1 - 0.1**2 / (STD**2 + 0.1**2)
    torch.testing.assert_close(clean - MEAN, shrunk * (noisy - MEAN))


def test_the_same_seed_gives_the_same_walk_level_by_level():
    sigmas = langevin.geometric(1.0, 0.5, 3)
    walks = [
        list(langevin.walk(scores(sigmas), torch.zeros(4, 2), sigmas, steps=2, rate=0.01, generator=generator))
        for generator in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    ]
    assert len(walks[0]) == 3
    torch.testing.assert_close(walks[0], walks[1], rtol=0, atol=0)
