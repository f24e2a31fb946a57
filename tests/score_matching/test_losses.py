"""Losses against closed forms of Gaussians, against each other in expectation, and engine against engine."""

import pytest
import torch
from torch import Tensor, nn

import deqbench
from deqbench.score_matching.losses import score, score_matching_loss
from deqbench.solvers.deq import differentiated
from tests.score_matching.gaussians import Energy, Gaussian

D, B = 4, 6
TIGHT = {"tol": 1e-13, "max_iter": 400, "adjoint_tol": 1e-13}


@pytest.fixture
def normal() -> Gaussian:
    return Gaussian(D, torch.Generator().manual_seed(0))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def energy(**settings: object) -> Energy:
    torch.manual_seed(0)
    return Energy(D, **{**TIGHT, **settings}).double()


def gradients(value: Tensor, f: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(value.sum(), list(f.parameters()), materialize_grads=True))


def assert_same(mine: Tensor, theirs: Tensor, f: nn.Module, tol: float = 1e-9) -> None:
    torch.testing.assert_close(mine, theirs, rtol=tol, atol=tol)
    for a, b in zip(gradients(mine, f), gradients(theirs, f), strict=True):
        torch.testing.assert_close(a, b, rtol=100 * tol, atol=100 * tol)


@pytest.mark.parametrize("engine", ["auto", "jets", "loop", "batched", "func"])
def test_the_loss_of_a_gaussian_is_its_closed_form(normal: Gaussian, x: Tensor, engine: str) -> None:
    made = score_matching_loss(normal, x, engine=engine, reduction="none")
    torch.testing.assert_close(made, normal.losses(x))
    torch.testing.assert_close(score_matching_loss(normal, x, engine=engine), normal.losses(x).mean())
    assert_same(made, normal.losses(x), normal)


@pytest.mark.parametrize("kind", ["ssm", "ssm-vr", "cp"])
@pytest.mark.parametrize("directions", ["rademacher", "normal"])
def test_sliced_losses_and_curvature_propagation_are_the_loss_in_expectation(
    normal: Gaussian, x: Tensor, kind: str, directions: str
) -> None:
    draws, generator = 4000, torch.Generator().manual_seed(2)
    options = {"kind": kind, "generator": generator, "directions": directions, "reduction": "none"}
    many = score_matching_loss(normal, x.repeat(draws, 1), **options).view(draws, B)
    error = many.std(0) / draws**0.5
    assert ((many.mean(0) - normal.losses(x)).abs() <= 4.5 * error + 1e-9).all()


def test_slices_are_a_mean_over_their_directions(normal: Gaussian, x: Tensor) -> None:
    one = score_matching_loss(normal, x, kind="ssm", slices=2000, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(one, normal.losses(x).mean(), rtol=0.05, atol=0.2)


def test_denoising_is_the_loss_for_noised_data_up_to_its_constant(normal: Gaussian) -> None:
    sigma, n, generator = 0.5, 400_000, torch.Generator().manual_seed(4)
    row = torch.zeros(n, D, dtype=torch.float64)
    made = score_matching_loss(normal, row, kind="dsm", sigma=sigma, generator=generator)
    noised = row + sigma * torch.randn(n, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    exact = normal.losses(noised).mean() + D / (2 * sigma**2)
    torch.testing.assert_close(made, exact, rtol=0.02, atol=0.02)


def test_finite_differences_come_near_the_sliced_loss(x: Tensor) -> None:
    f = energy()
    draws = [torch.Generator().manual_seed(6) for _ in range(2)]
    exact = score_matching_loss(f, x, kind="ssm", generator=draws[0], reduction="none")
    near = score_matching_loss(f, x, kind="fdssm", eps=1e-3, generator=draws[1], reduction="none")
    assert_same(near, exact, f, tol=1e-5)


@pytest.mark.parametrize("kind", ["sm", "ssm", "ssm-vr"])
@pytest.mark.parametrize("derivative", ["exact", "phantom"])
@pytest.mark.parametrize("engine", ["loop", "batched"])
def test_engines_agree_on_an_equilibrium(x: Tensor, kind: str, derivative: str, engine: str) -> None:
    f = energy()
    if (kind, derivative, engine) == ("sm", "exact", "batched"):
        with pytest.raises(ValueError, match="engine: expected jets or loop for exact derivatives"):
            score_matching_loss(f, x, kind=kind, engine=engine)
        return
    options = {"kind": kind, "derivative": derivative, "reduction": "none", "slices": 2}
    mine = score_matching_loss(f, x, engine="jets", generator=torch.Generator().manual_seed(7), **options)
    theirs = score_matching_loss(f, x, engine=engine, generator=torch.Generator().manual_seed(7), **options)
    assert_same(mine, theirs, f)


def test_the_phantom_loss_is_another_number_and_the_layers_settings_come_back(x: Tensor) -> None:
    f = energy(derivative="unrolled")
    exact, phantom = (float(score_matching_loss(f, x, derivative=d)) for d in ("exact", "phantom"))
    assert abs(exact - phantom) > 1e-6
    assert f.deq.settings["derivative"] == "unrolled"
    assert "order" not in f.deq.settings


@pytest.mark.parametrize("engine", ["jets", "loop", "batched", "func"])
def test_a_score_network_is_treated_as_the_score_that_it_gives(normal: Gaussian, x: Tensor, engine: str) -> None:
    def network(row: Tensor) -> Tensor:
        return -torch.matmul(row - normal.mean, normal.precision())

    made = score_matching_loss(network, x, of="score", engine=engine, reduction="none")
    torch.testing.assert_close(made, normal.losses(x))
    draws = [torch.Generator().manual_seed(8) for _ in range(2)]
    sliced = [
        score_matching_loss(f, x, of=of, kind="ssm-vr", engine=engine, reduction="none", generator=g)
        for (f, of), g in zip(((network, "score"), (normal, "log-density")), draws, strict=True)
    ]
    torch.testing.assert_close(*sliced)


def test_the_score_is_the_gradient(normal: Gaussian, x: Tensor) -> None:
    torch.testing.assert_close(score(normal, x), -(x - normal.mean) @ normal.precision())


def test_a_function_that_jets_do_not_know_is_taken_by_the_loop(x: Tensor) -> None:
    def f(row: Tensor) -> Tensor:
        return -row.square().cumsum(1)[:, -1] / 2

    torch.testing.assert_close(score_matching_loss(f, x, reduction="none"), x.square().sum(1) / 2 - D)
    with pytest.raises(TypeError, match="found cumsum"):
        score_matching_loss(f, x, engine="jets")


def test_rows_stay_as_they_are(normal: Gaussian, x: Tensor) -> None:
    before = x.clone()
    score_matching_loss(normal, x, engine="loop")
    assert not x.requires_grad
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "smm"}, "kind: expected one of .*; found 'smm'"),
        ({"kind": "dsm"}, "sigma: expected a positive number for dsm; found None"),
        ({"kind": "dsm", "sigma": 0.0}, "sigma: expected a positive number"),
        ({"slices": 0}, "slices: expected at least 1; found 0"),
        ({"engine": "jet"}, "engine: expected one of"),
        ({"of": "score", "kind": "cp"}, "kind: expected one that a score will do for"),
        ({"derivative": "exact"}, "derivative: expected a module with DEQ layers"),
    ],
)
def test_wrong_settings_are_told_in_a_sentence(normal: Gaussian, x: Tensor, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        score_matching_loss(normal, x, **options)


def test_it_is_public() -> None:
    assert deqbench.score_matching_loss is score_matching_loss


def test_a_solve_that_falls_short_warns(x: Tensor) -> None:
    f = energy()
    with differentiated(f, max_iter=2), pytest.warns(deqbench.NotConverged):
        score_matching_loss(f, x)
