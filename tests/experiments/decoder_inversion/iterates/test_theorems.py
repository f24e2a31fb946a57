"""Conditions and bounds of the theorems on linear pairs, whose constants are known, and the remarks."""

import math

import pytest
import torch

from deqbench.decoder_inversion.codec import quantised
from deqbench.experiments.decoder_inversion.iterates.remarks import linear, mean_error, preimages, trained
from deqbench.experiments.decoder_inversion.iterates.theorems import (
    bound,
    largest_step,
    measures,
    rows,
    step_and_inertia,
)
from deqbench.experiments.decoder_inversion.target_files import Targets
from tests.decoder_inversion import tiny
from tests.experiments.decoder_inversion.iterates.runs import followed


def beta(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_the_step_of_inertial_km_at_alpha_0_9_may_be_0_0116_beta():
    assert largest_step(beta(1.0), 0.9).item() == pytest.approx(0.01163, abs=5e-6)
    assert largest_step(beta(2.0), 0.0).item() == 4


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.9])
def test_the_largest_step_meets_equation_13_with_equality(alpha):
    share = largest_step(beta(1.0), alpha).item() / 2  # lambda
    assert share * (1 - alpha + 2 * alpha**2) == pytest.approx((1 - alpha) ** 2)
    just_below = bound(beta(1.0), 2 * share * (1 - 1e-9), alpha, beta(1.0))
    assert just_below.isfinite() and just_below.item() > 1e6  # epsilon of Eq. S15 is next to 0
    assert bound(beta(1.0), 2 * share * (1 + 1e-9), alpha, beta(1.0)).isnan()


def test_the_bound_of_theorem_1_is_met_with_equality_by_a_multiple_of_the_identity():
    # T z = (z - z*) / 2: beta = 2, errors shrink by 0.85, and the proof's sum telescopes to what is left of them.
    _, z, run = followed("forward", {"rho": 0.3}, limit=40, values=(0.5,) * 6)
    found = measures(run, z, 0.3, 0.0)
    torch.testing.assert_close(found["beta"], torch.full((3,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(found["bound_share"], torch.full((3,), 1 - 0.85**80, dtype=torch.float64))


def test_states_below_the_floor_do_not_count():
    _, z, run = followed("forward", {"rho": 0.5}, values=(0.5,) * 5 + (1.9,))
    lengths = (run.asked_again - run.encoded).flatten(2).norm(dim=2)  # (M, B)
    shifted = z + 0.01
    all_of_them, few = (measures(run, shifted, 0.5, 0.0, floor)["beta"] for floor in (0.0, lengths[2]))
    T, away = run.asked_again - run.encoded, run.asked - shifted
    expected = (T * away).flatten(2).sum(2) / lengths.square()
    torch.testing.assert_close(all_of_them, expected.amin(0))
    torch.testing.assert_close(few, expected[:2].amin(0))


def test_beta_is_the_pair_s_constant_along_a_run():
    _, z, run = followed("forward", {"rho": 0.5}, values=(0.5, 0.5, 0.5, 2.0, 2.0, 2.0), limit=10)
    found = measures(run, z, 0.5, 0.0)
    assert (found["beta"] >= 0.5 - 1e-9).all() and (found["beta"] < 2).all()
    torch.testing.assert_close(found["allowed"], 2 * found["beta"] / 0.5)


@pytest.mark.parametrize(
    ("inverter", "options"), [("forward", {"rho": 1.9}), ("inertial", {"alpha": 0.3, "step": 0.5})]
)
def test_runs_within_the_conditions_stay_below_their_bounds(inverter, options):
    _, z, run = followed(inverter, options, values=(0.7, 0.8, 0.9, 1.0, 1.0, 1.0), limit=12)
    found = measures(run, z, *step_and_inertia(inverter, options))
    assert (found["within"] == 1).all()
    for share in ("bound_share", "rate_share"):
        assert (found[share] <= 1).all() and (found[share] > 0).all()
    assert (found["rate_share"] <= found["bound_share"]).all()
    assert (found["residual_left"] < 0.1).all()


def test_a_step_above_twice_beta_is_told_and_grows():
    _, z, run = followed("forward", {"rho": 2.5}, values=(0.9,) * 6)
    found = measures(run, z, 2.5, 0.0)
    assert (found["within"] == 0).all() and found["bound_share"].isnan().all()
    assert (found["residual_left"] > 10).all()
    _, _, zero = followed("forward", {"rho": 1.0}, values=(0.9,) * 6)
    told = list(rows("forward", run, zero, 2.5, 0.0))
    assert not [row for row in told if math.isnan(row["value"])] and {row["within"] for row in told} == {0}


def test_a_run_that_is_nowhere_told_from_the_zero_gets_no_verdict():
    _, _, zero = followed("forward", {"rho": 1e-3}, limit=2)  # hardly solved
    _, _, run = followed("forward", {"rho": 0.5}, limit=20)
    told = list(rows("forward", run, zero, 0.5, 0.0))
    assert {row["metric"] for row in told} == {"residual_left", "rate_trend"} and {row["within"] for row in told} == {
        -1
    }


def test_a_residual_that_does_not_fall_has_a_trend_of_two():
    _, z, run = followed("forward", {"rho": 1e-9})
    torch.testing.assert_close(measures(run, z, 1e-9, 0.0)["rate_trend"], torch.full((3,), 2.0, dtype=torch.float64))


def test_the_run_s_own_end_would_pass_the_step_off_as_beta():
    _, _, run = followed("forward", {"rho": 0.01}, values=(0.5,) * 6)
    torch.testing.assert_close(measures(run, run.limit, 0.01, 0.0)["beta"], torch.full((3,), 0.01, dtype=torch.float64))


def test_trained_linear_pairs_invert_each_other_and_reach_the_components_error():
    generator = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
    values = torch.tensor([3.0, 2.0, 1.5, 0.8, 0.5, 0.3, 0.2, 0.1], dtype=torch.float64)
    E, D = trained(basis * values @ basis.T, 3, generator)
    assert (E @ D - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-6
    assert mean_error(basis * values @ basis.T, E, D).item() == pytest.approx(values[3:].sum().item())


def test_mean_error_is_the_mean_over_data():
    generator = torch.Generator().manual_seed(0)
    x, E, D = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((500, 4), (2, 4), (4, 2)))
    expected = (x - x @ E.T @ D.T).square().sum(1).mean()
    torch.testing.assert_close(mean_error(x.T @ x / 500, E, D), expected)


def test_linear_rows_tell_trained_pairs_from_any_others():
    found = {
        (row["method"], row["metric"], row["image"]): row["value"]
        for row in linear(torch.Generator().manual_seed(0), runs=2)
    }
    for run in range(2):
        assert found["linear-trained", "identity_gap", run] < 1e-6
        assert found["linear-trained", "projector_gap", run] < 1e-4
        assert found["linear-components", "loss_excess", run] < 1e-12


def test_remark_1_is_exact_until_the_image_or_the_encoder_is_not():
    net = tiny.vae()
    z = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = net.decode(z / 0.5).sample
    targets = Targets(z, x, torch.zeros(3, dtype=torch.int64))
    found = {
        (r["method"], r["metric"], r["image"]): r["value"]
        for r in preimages(net, targets, torch.Generator().manual_seed(0), 8)
    }
    assert all(found["exact", "preimage_gap", k] < 1e-6 for k in range(3))
    assert all(found["sampled", "preimage_gap", k] > 1e-2 for k in range(3))
    with torch.no_grad():
        codes = [net.encode(images).latent_dist.mode() for images in (x, quantised(x))]
    gap = (codes[0] - codes[1]).flatten(1).norm(dim=1) / codes[1].flatten(1).norm(dim=1)
    assert found["8-bit", "preimage_gap", 1] == pytest.approx(gap[1].item(), rel=1e-4)
    assert found["autoencoder", "identity_gap", 0] > 0
