"""The comparison of phantom and exact derivatives on one batch."""

import pytest
import torch

from deqbench.experiments.deq_score_matching.phantom.probes import compared
from deqbench.score_matching.losses import score, score_matching_loss
from tests.experiments.deq_score_matching.phantom.small import net, rows


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("objective", ["sm", "ssm", "ssm-vr"])
def test_many_steps_are_exact_and_one_is_not(objective):
    rough, fine = (compared(net(), rows(), objective, steps, generator()) for steps in (1, 60))
    assert fine.score_error.max() < 1e-4 < rough.score_error.min()
    assert fine.gradient_cosine == pytest.approx(1, abs=1e-6) and fine.score_cosine.min() > 1 - 1e-6
    assert fine.phantom_loss == pytest.approx(fine.exact_loss, abs=1e-4)
    assert rough.gradient_cosine < fine.gradient_cosine and rough.exact_loss == pytest.approx(fine.exact_loss)


def test_what_is_compared_is_what_the_loss_and_the_score_are():
    model, x = net(), rows()
    made = compared(model, x, "ssm", 2, generator(4))
    losses = [
        float(score_matching_loss(model, x, kind="ssm", derivative=d, generator=generator(4)).detach())
        for d in ("exact", "phantom")
    ]
    assert [made.exact_loss, made.phantom_loss] == pytest.approx(losses, rel=1e-5)
    exact, rough = (score(model, x, derivative=d).detach() for d in ("exact", "phantom"))
    torch.testing.assert_close(made.score_error, (exact - rough).norm(dim=1) / exact.norm(dim=1), rtol=1e-3, atol=1e-6)


def test_neither_weights_nor_settings_nor_the_generator_are_touched():
    model, draws = net(), generator()
    before, settings = {k: v.clone() for k, v in model.state_dict().items()}, dict(model.block.settings)
    state = draws.get_state()
    compared(model, rows(), "ssm", 2, draws)
    assert torch.equal(draws.get_state(), state) and model.block.settings == settings
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
