"""Ratios of Eq. 14 against constants known in closed form, statistics against scipy, trajectories by passes."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from deqbench.decoder_inversion.codec import decibel, nmse
from deqbench.experiments.decoder_inversion.iterates.cocoercivity import along, correlation, fitted, line, ratios, rows
from deqbench.experiments.decoder_inversion.iterates.trajectories import Recording, follow
from tests.decoder_inversion import tiny
from tests.decoder_inversion.linear import diagonal
from tests.experiments.decoder_inversion.iterates.runs import VALUES, followed


def test_the_ratio_of_a_symmetric_pair_is_the_inverse_of_its_largest_eigenvalue_at_the_worst_state():
    codec = diagonal(*VALUES)
    points = torch.eye(6, dtype=torch.float64).view(6, 1, 1, 2, 3)  # (K, B, c, h, w), one eigenvector a state
    images = torch.stack([codec.encode_decode(point) for point in points])
    found = ratios(images, points)
    torch.testing.assert_close(found[:, 0], 1 / torch.tensor(VALUES, dtype=torch.float64))
    assert found.amin(0).item() == pytest.approx(1 / max(VALUES))


def test_no_state_of_a_symmetric_pair_falls_below_its_constant():
    _, _, run = followed("forward", {"rho": 0.5})
    assert (along(run) >= 1 / max(VALUES) - 1e-9).all()


def test_a_negative_eigenvalue_is_not_cocoercive():
    _, _, run = followed("forward", {"rho": 0.5}, values=(-0.5,) * 6)
    assert (along(run) < 0).all()


def test_a_state_whose_image_has_reached_the_limit_binds_nothing():
    assert ratios(torch.zeros(1, 1, 3), torch.ones(1, 1, 3)).item() == math.inf


def test_a_forward_run_is_followed_without_a_pass_of_its_own():
    codec, z, run = followed("forward", {"rho": 0.5})
    assert codec.passes == 20 + 1  # one an iteration, one for the limit
    torch.testing.assert_close(run.again, torch.stack([codec.encode_decode(point) for point in run.z]), rtol=0, atol=0)
    start = codec.encode(codec.decode(z))
    error = (1 - 0.5 * torch.tensor(VALUES, dtype=torch.float64)) ** 20 * (start - z).flatten(1)
    torch.testing.assert_close((run.limit - z).flatten(1), error)


def test_the_states_of_inertial_km_are_those_that_the_theorem_asks_for():
    codec, _, run = followed("inertial", {"alpha": 0.9, "step": 0.1})
    y = run.z[1:] + 0.9 * (run.z[1:] - run.z[:-1])
    torch.testing.assert_close(run.asked[0], run.z[0])
    torch.testing.assert_close(run.asked[1 : len(y) + 1], y)
    torch.testing.assert_close(run.again[3], codec.encode_decode(run.z[3]))


def test_a_gradient_run_has_iterates_too():
    net = tiny.vae()
    codec = Recording(net)
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    x = codec.decode(z).detach()
    run = follow(codec, x, "gradient", {"lr": 0.05}, iterates=3, limit=5)
    assert len(run.z) == 4 and not len(run.asked)
    torch.testing.assert_close(run.again[2], codec.encode_decode(run.z[2]).detach())
    assert not torch.equal(run.z[3], run.limit)


def test_a_recording_codec_keeps_copies():
    codec = Recording(tiny.vae())
    z = torch.zeros(1, 4, 8, 8)
    found = codec.encode_decode(z).detach()
    before = found.clone()
    z += 1
    found -= 1
    assert torch.equal(codec.seen[0][0], torch.zeros(1, 4, 8, 8)) and torch.equal(codec.seen[0][1], before)


def test_line_and_correlation_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = -0.7 * x + rng.normal(size=30)
    fit = scipy.stats.linregress(x, y)
    reach = scipy.stats.t.ppf(0.975, 28) * fit.stderr
    assert line(x, y) == pytest.approx((fit.intercept, fit.slope, fit.slope, fit.slope - reach, fit.slope + reach))
    value, low, high = correlation(x, y)
    z, width = math.atanh(np.corrcoef(x, y)[0, 1]), 1.959964 / math.sqrt(27)
    assert (math.atanh(value), math.atanh(low), math.atanh(high)) == pytest.approx((z, z - width, z + width), abs=1e-5)


def test_instances_that_are_not_finite_take_no_part():
    good = {"cocoercivity": np.array([1.0, 2, 3, 4, 7]), "convergence": np.array([4.0, 3, 2, 2, 1])}
    good["final_nmse_db"] = good["convergence"] * 2
    bad = {name: np.append(values, np.nan) for name, values in good.items()}
    assert fitted(bad) == fitted(good)
    assert fitted(good)["slope"][3] == 5


def test_too_few_instances_have_no_line():
    three = np.array([1.0, 2, 3])
    assert fitted({"cocoercivity": three, "convergence": three, "final_nmse_db": three}) == {}


def test_rows_hold_the_measures_of_every_instance():
    _, z, run = followed("forward", {"rho": 0.5}, count=5)
    found = {(row["metric"], row.get("image")): row for row in rows("forward", run, None, z)}
    assert found["positive", 3]["value"] == 1
    distance = (run.z[-1] - run.limit).flatten(1).norm(dim=1)[2].item()
    assert found["convergence", 2]["value"] == pytest.approx(distance)
    assert found["final_nmse_db", 4]["value"] == pytest.approx(decibel(nmse(run.limit, z))[4].item())
    assert found["slope", None]["n"] == 5 and found["slope", None]["low"] < found["slope", None]["high"]
