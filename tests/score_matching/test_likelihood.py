"""Normalisers of densities whose Z is known, in float64; an estimate that cannot be trusted says so."""

import math

import pytest
import torch

from deqbench.score_matching.likelihood import Normal, annealed, estimated, importance

D = 5
SHIFT = 3.0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(scale=1.0, mean=0.0):
    root = scale * torch.eye(D, dtype=torch.float64)
    return Normal(torch.full((D,), mean, dtype=torch.float64), root)


def unnormalised(scale=1.0, mean=0.0, shift=SHIFT):
    """log p~ with log Z = shift."""
    return lambda x: normal(scale, mean).log_prob(x) + shift


def test_a_normal_density_s_logarithm_is_that_of_torch_and_its_draws_have_its_moments():
    rows = torch.randn(400, D, generator=generator(), dtype=torch.float64) @ torch.randn(
        D, D, generator=generator(1), dtype=torch.float64
    )
    fitted = Normal.fitted(rows, widen=1.5, ridge=0.0)
    c = torch.cov(rows.T) * 1.5**2
    oracle = torch.distributions.MultivariateNormal(rows.mean(0), c)
    torch.testing.assert_close(fitted.log_prob(rows), oracle.log_prob(rows), rtol=1e-10, atol=1e-10)
    drawn = fitted.draw(100_000, generator(2))
    torch.testing.assert_close(torch.cov(drawn.T), c, rtol=0.05, atol=0.05 * float(c.diagonal().max()))


def test_draws_from_the_density_itself_give_its_normaliser_without_error():
    found = importance(unnormalised(), normal(), draws=1000, generator=generator(), dtype=torch.float64)
    assert found.value == pytest.approx(SHIFT, abs=1e-10)
    assert found.error == pytest.approx(0, abs=1e-10) and found.ess == pytest.approx(1000)
    assert found.trusted and found.evaluations == found.draws == 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_wider_proposal_is_right_within_its_standard_error(seed):
    how = {"draws": 20_000, "generator": generator(seed), "dtype": torch.float64}
    found = importance(unnormalised(0.7, 0.3), normal(1.2), **how)
    assert abs(found.value - SHIFT) < 4 * found.error < 0.2
    assert 100 < found.ess < 20_000


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    runs = [
        importance(unnormalised(0.8), normal(1.2), draws=2000, generator=generator(seed), dtype=torch.float64)
        for seed in range(60)
    ]
    spread = torch.tensor([run.value for run in runs]).std()
    assert 0.7 < float(spread) / (sum(run.error for run in runs) / len(runs)) < 1.4


def test_a_proposal_that_misses_the_density_is_not_trusted():
    found = importance(unnormalised(0.3, 4.0), normal(), draws=5000, generator=generator(), dtype=torch.float64)
    assert not found.trusted and found.ess < 100


def test_annealing_finds_a_density_that_importance_misses():
    target = unnormalised(0.3, 3.0)
    missed = importance(target, normal(), draws=20_000, generator=generator(), dtype=torch.float64)
    found = annealed(target, normal(), chains=400, temperatures=150, generator=generator(), dtype=torch.float64)
    assert not missed.trusted and found.trusted
    assert abs(found.value - SHIFT) < 4 * found.error < 0.5


def test_annealing_weighs_two_modes_as_they_are():
    def mixture(x):
        left, right = normal(0.5, -1.0).log_prob(x), normal(0.5, 1.0).log_prob(x)
        return torch.logaddexp(left + math.log(0.3), right + math.log(0.7)) + SHIFT

    found = annealed(mixture, normal(1.5), chains=400, temperatures=60, generator=generator(3), dtype=torch.float64)
    assert abs(found.value - SHIFT) < 4 * found.error < 0.6


def test_weights_of_a_known_mean_give_kish_s_effective_size():
    w = torch.tensor([1.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    found = estimated(w.log(), 4)
    assert found.value == pytest.approx(0) and found.ess == pytest.approx(16 / 6)
    assert found.error == pytest.approx(float(w.std()) / 2)


def test_a_density_that_is_nowhere_or_not_a_number_is_not_trusted():
    lost = importance(lambda x: x.sum(1) * float("nan"), normal(), draws=100, generator=generator())
    assert not lost.trusted and lost.ess == 0 and lost.error == math.inf
