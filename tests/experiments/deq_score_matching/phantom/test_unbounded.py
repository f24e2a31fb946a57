"""The example whose phantom loss has no lower bound: autograd, the closed form, and no bound."""

import pytest
import torch

from deqbench.experiments.deq_score_matching.phantom.config import Unbounded
from deqbench.experiments.deq_score_matching.phantom.unbounded import TwoStates, closed_form, loss, rows

X = torch.randn(7, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("K", [1, 2, 4, 8, None])
def test_the_loss_by_autograd_is_the_closed_form(K):
    assert loss(3.0, K, X) == pytest.approx(closed_form(3.0, K), abs=1e-12)


def test_the_closed_form_is_a_difference_of_powers():
    for K in (1, 2, 4, 8):
        assert closed_form(1.0, K) == pytest.approx(-((0.6**K - 0.2**K) ** 2))
    assert closed_form(1.0, 2) == pytest.approx(-0.1024)
    assert closed_form(1.0, None) == pytest.approx(0, abs=1e-30)


def test_the_density_is_flat_whatever_its_sharpness():
    x = X.clone().requires_grad_()
    values = TwoStates(1e6)(x)
    assert values.abs().max() < 1e-20
    assert torch.autograd.grad(values.sum(), x)[0].abs().max() < 1e-6


def test_nested_autograd_through_the_layer_falls_as_the_records_say():
    net = TwoStates(10.0)
    net.deq.settings = {**net.deq.settings, "derivative": "phantom", "steps": 2}
    x = X.clone().requires_grad_()
    (score,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(score.sum(), x)
    assert float((score.square() / 2 + second).mean().detach()) == pytest.approx(closed_form(10.0, 2), abs=1e-10)


def test_records_hold_losses_that_fall_with_c_without_end():
    found = list(rows(Unbounded(sharpness=[1.0, 1e6], steps=[2]), seed=0))
    losses = {(row["c"], row["method"]): row["value"] for row in found if row["metric"] == "loss"}
    assert losses[1e6, "phantom-2"] == pytest.approx(-102400) and losses[1.0, "phantom-2"] == pytest.approx(-0.1024)
    assert abs(losses[1e6, "exact"]) < 1e-6
    assert max(row["value"] for row in found if row["metric"] == "off") < 1e-10
