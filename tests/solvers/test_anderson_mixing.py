"""Anderson's weights by timestep, and by timestep from all before it."""

import numpy as np
import pytest
import torch

from deqbench.solvers import solve
from deqbench.solvers.anderson import Anderson
from tests.problems import random
from tests.solvers.maps import network, record


def test_timesteps_are_mixed_as_if_each_were_a_sample_and_chains_as_one():
    A = random(6, 6, seed=60) / 5

    def f(z):
        return torch.sin(z @ A.T) + 1  # each row by itself

    z0 = random(2, 5, 6, seed=61)
    rows = record(f, z0.flatten(0, 1), 9, solver="anderson")
    torch.testing.assert_close(record(f, z0, 9, solver="anderson", mixing="timestep").flatten(1, 2), rows)
    assert (record(f, z0, 9, solver="anderson").flatten(1, 2) - rows).abs().max() > 1e-6


def triangular_map(seed: int):
    """A nonlinear map of (B, 5, 3) whose index j depends on the indices up to j."""
    W = random(5, 3, 5, 3, seed=seed) / 4 * torch.ones(5, 5).double().tril()[:, None, :, None]
    return lambda z: torch.sin(torch.einsum("jakb,...kb->...ja", W, z)) + 1


def leading(f, z: np.ndarray, rounds: int, m: int) -> np.ndarray:
    """Type II where index j is mixed with the weights that are best for the indices up to j: dense least squares."""
    X, G = [z], [f(z) - z]
    while len(X) < rounds:
        dX, dG = np.diff(np.array(X[-m:]), axis=0), np.diff(np.array(G[-m:]), axis=0)
        new = X[-1] + G[-1]
        for j in range(len(z) if len(dG) else 0):
            upto = dG[:, : j + 1].reshape(len(dG), -1).T
            gamma = np.linalg.lstsq(upto, G[-1][: j + 1].ravel(), rcond=None)[0]
            new[j] -= np.tensordot(gamma, dX[:, j] + dG[:, j], 1)
        X.append(new)
        G.append(f(new) - new)
    return np.array(X)


@pytest.mark.parametrize("m", [2, 4])
def test_triangular_mixing_walks_the_dense_least_squares_of_leading_indices(m):
    f, z0 = triangular_map(seed=66), random(2, 5, 3, seed=67)
    states = record(f, z0, 7, solver="anderson", mixing="triangular", m=m, ridge=0.0)
    for i in range(2):
        expected = leading(lambda z: f(torch.from_numpy(z)).numpy(), z0[i].numpy(), 7, m)
        np.testing.assert_allclose(states[:, i].numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("kind", "ridge_kind"), [("I", "relative"), ("II", "relative"), ("II", "absolute")])
def test_under_triangular_mixing_an_index_never_feels_a_later_one(kind, ridge_kind):
    f, z0 = triangular_map(seed=66), random(2, 5, 3, seed=67)
    options = {"solver": "anderson", "mixing": "triangular", "kind": kind, "ridge_kind": ridge_kind, "ridge": 1e-6}
    other = z0.clone()
    other[:, 3:] += 100
    states = record(f, z0, 9, **options)
    torch.testing.assert_close(record(f, other, 9, **options)[:, :, :3], states[:, :, :3], rtol=0, atol=0)


def test_the_last_index_of_triangular_mixing_has_the_weights_of_the_whole_chain():
    z0, (f, g) = random(2, 4, 3, seed=68), random(2, 5, 2, 4, 3, seed=69)
    windows = [Anderson(m=4, mixing=mixing).start(z0) for mixing in ("chain", "triangular")]
    for k in range(5):
        chain, triangular = (window.step(z0, f[k], g[k]) for window in windows)
        torch.testing.assert_close(triangular[:, -1], chain[:, -1], rtol=1e-8, atol=1e-8)
    assert (triangular[:, 0] - chain[:, 0]).abs().max() > 1e-3


def test_a_timestep_that_stands_still_leaves_the_others_alone():
    f, z0 = network((4,), seed=62), random(1, 3, 4, seed=64)

    def still(z):
        moved = f(z.flatten(0, 1)).view_as(z)
        return torch.cat([torch.ones_like(z[:, :1]), moved[:, 1:]], 1)  # its differences are 0 from round 2

    states = record(still, z0, 12, solver="anderson", mixing="timestep")
    assert states.isfinite().all() and torch.equal(states[-1][:, 0], torch.ones(1, 4).double())


@pytest.mark.parametrize("mixing", ["timestep", "triangular"])
def test_mixing_by_timestep_needs_timesteps(mixing):
    with pytest.raises(ValueError, match=f"{mixing} needs a state"):
        solve(lambda z: z, torch.zeros(3), solver="anderson", mixing=mixing)
