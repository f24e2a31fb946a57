"""Gradient descent on x_T: beside torch's Adam run by hand, image by image."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient, loss
from deqbench.diffusion.inverted import reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.errors import UserError
from tests.diffusion.chains import relative
from tests.diffusion.inversion_problems import problem

EPOCHS = 12


def by_hand(chain, target, name, options, lr, epochs):
    """x_T after every update, and the losses there: plain Adam on a batch that is one image."""
    x_T = torch.nn.Parameter(chain.x_T.clone())
    adam = torch.optim.Adam([x_T], lr=lr)
    path, losses = [], []
    for epoch in range(epochs + 1):
        pulled = gradient(name, replace(chain, x_T=x_T.detach()), target, options)
        path.append(x_T.detach().clone())
        losses.append(float(pulled.loss))
        if epoch < epochs:
            x_T.grad = pulled.gradient
            adam.step()
    return path, losses


def one(chain, target, i):
    return chain.select(torch.tensor([i])), target[i : i + 1]


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("name", "options"),
    [("backprop", {}), ("phantom", {}), ("released", {"forward": "sequential"}), ("implicit", {"adjoint": "gmres"})],
)
def test_every_image_of_a_batch_follows_an_adam_of_its_own(name, options, eta):
    chain, target, _ = problem(6, eta=eta)
    rates, told = torch.tensor([0.05, 0.2], dtype=torch.float64), []
    inversion = invert(
        "descent",
        chain,
        target,
        {"gradient": name, "lr": rates, "epochs": EPOCHS, **options},
        lambda step: told.append((step.number, step.x_T.clone(), step.loss.clone())),
    )
    assert [number for number, *_ in told] == list(range(EPOCHS + 1))
    for i, rate in enumerate(rates.tolist()):
        path, losses = by_hand(*one(chain, target, i), name, options, rate, EPOCHS)
        for (_, x_T, own), exact, value in zip(told, path, losses, strict=True):
            assert relative(x_T[i], exact[0]) < 1e-9
            assert float(own[i]) == pytest.approx(value, rel=1e-8)
        best = min(range(EPOCHS + 1), key=losses.__getitem__)
        assert relative(inversion.x_T[i], path[best][0]) < 1e-9
        assert losses[best] < losses[0]
    assert inversion.rounds.tolist() == [EPOCHS, EPOCHS] and inversion.stopped == ("max_iter", "max_iter")


def test_the_best_latent_is_returned_where_later_ones_are_worse():
    chain, target, _ = problem(6)
    told = []
    options = {"lr": 3.0, "epochs": 10}  # overshoots
    inversion = invert("descent", chain, target, options, lambda step: told.append(step.loss.clone()))
    losses = torch.stack(told)
    assert (losses[-1] > losses.min(0).values).any()
    assert torch.allclose(loss(reconstruct(chain, inversion.x_T), target), losses.min(0).values, rtol=1e-12)


def test_a_stochastic_chain_keeps_the_noises_that_it_was_given():
    chain, target, _ = problem(6, eta=1.0)
    inversion = invert("descent", chain, target, {"gradient": "phantom", "lr": 0.1, "epochs": 30})
    before, after = (loss(reconstruct(chain, x_T), target) for x_T in (chain.x_T, inversion.x_T))
    assert (after < before / 2).all()
    others = replace(chain, noise=chain.noise.flip(1))
    assert (loss(reconstruct(others, inversion.x_T), target) > after).all()


def test_a_threshold_ends_the_run_when_every_image_has_reached_it():
    chain, target, _ = problem(6)
    losses = []
    options = {"lr": 0.1, "epochs": 200}
    invert("descent", chain, target, options, lambda step: losses.append(step.loss.clone()))
    level = float(losses[60].max())
    needed = next(k for k in range(201) if (torch.stack(losses[: k + 1]).min(0).values <= level).all())
    inversion = invert("descent", chain, target, {**options, "threshold": level})
    assert inversion.stopped == ("converged", "converged")
    assert inversion.rounds.tolist() == [needed, needed]
    assert int(inversion.nfe[0]) == 6 * (needed + 1) and int(inversion.vjps[0]) == 6 * (needed + 1)


def test_an_image_that_diverges_stops_alone():
    chain, target, _ = problem(6)
    inner = chain.eps_model
    wide = replace(
        chain, eps_model=lambda x, t: torch.where(x.abs().amax((1, 2, 3), True) > 500, torch.nan, 1) * inner(x, t)
    )
    rates = torch.tensor([0.05, 1e3], dtype=torch.float64)
    inversion = invert("descent", wide, target, {"lr": rates, "epochs": 8})
    assert inversion.stopped == ("max_iter", "diverged")
    assert inversion.rounds.tolist() == [8, 1]
    assert inversion.x_T.isfinite().all()
    path, losses = by_hand(*one(wide, target, 0), "backprop", {}, 0.05, 8)
    assert relative(inversion.x_T[0], path[losses.index(min(losses))][0]) < 1e-9
    assert torch.equal(inversion.x_T[1], chain.x_T[1])  # the only one whose loss was finite


def test_a_warm_start_saves_rounds_and_changes_nothing_else():
    chain, target, _ = problem(16)
    solve = {"gradient": "phantom", "forward": "joint", "tol": 1e-8, "max_iter": 60, "lr": 0.01, "epochs": 6}
    cold, warm = (invert("descent", chain, target, {**solve, "warm_start": on}) for on in (False, True))
    assert (warm.nfe < cold.nfe).all()
    assert relative(warm.x_T, cold.x_T) < 1e-6


def test_the_released_settings_start_every_solve_at_the_first_latent():
    chain, target, _ = problem(8)
    options = {"gradient": "released", "start": "first", "tol": 0.0, "max_iter": 3, "lr": 0.1, "epochs": 3}
    told = []
    invert("descent", chain, target, {**options, "warm_start": True}, lambda step: told.append(step))
    moved = replace(chain, x_T=told[-1].x_T)
    settings = {"tol": 0.0, "max_iter": 3}
    stale = gradient("released", moved, target, settings, states=chain.initial())
    fresh = gradient("released", moved, target, settings)
    assert torch.equal(told[-1].loss, stale.loss)
    assert not torch.allclose(told[-1].loss, fresh.loss)


def test_settings_out_of_range_or_unknown_are_one_clear_sentence():
    chain, target, _ = problem(3)
    for options, words in (
        ({"epochs": 0}, r"epochs: expected an integer in \[1, 1000000\]; found 0"),
        ({"gradient": "backprp"}, "did you mean 'backprop'"),
        ({"gradient": "phantom", "taus": 1.0}, "taus"),
    ):
        with pytest.raises(UserError, match=words):
            invert("descent", chain, target, options)
