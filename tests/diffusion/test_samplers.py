"""The contract of every sampler in the folder: a newcomer is tested the day it arrives."""

from dataclasses import replace

import numpy as np
import pytest
import scipy
import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.samplers import FAMILY, exact, sample, samplers, secant
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError
from deqbench.solvers.rounds import Run
from deqbench.solvers.secant import secant_sweeps
from tests import oracles
from tests.diffusion.chains import make, relative

# Settings that run a sampler to the end, where it has any.
TO_THE_END = {
    "joint": {"tol": 0.0, "max_iter": 30},
    "parataa": {"tol": 0.0},
    "torchdeq": {"solver": "fixed-point", "tol": 0.0, "max_iter": 30},
    "windowed": {"tol": 0.0},
}
TO_THE_END |= {
    name: {"tol": 0.0} for name in ("deer", "diffusers-parallel", "newton", "paradigms", "parareal", "secant")
}
GRIDS = {"diffusers-parallel": "uniform-released"}  # the only one that it takes


EACH = pytest.mark.parametrize("name", samplers())


def counted(steps=25, name=None, **options):
    chain, eps, _, made = make(steps, grid=GRIDS.get(name, "uniform-paper"), **options)
    predictor = NoisePredictor(eps, made.alphas_cumprod, max_batch=17)
    object.__setattr__(chain, "eps_model", predictor)
    return chain, predictor


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("name", filter(exact, samplers()))
def test_every_sampler_run_to_the_end_gives_the_sequential_chain(name, eta):
    chain, _ = counted(name=name, eta=eta)
    if eta and "eta > 0" in FAMILY.method(name).card.cannot:
        with pytest.raises(UserError, match="expected no eta > 0, since "):
            sample(name, chain, {})
        return
    drawn = sample(name, chain, TO_THE_END.get(name, {}))
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(drawn.x0, walked[:, -1]) < 1e-11
    if drawn.states is not None:
        assert relative(drawn.states, walked) < 1e-11


@EACH
def test_every_sampler_reports_the_evaluations_that_the_network_saw(name):
    chain, predictor = counted(name=name)
    drawn = sample(name, chain, {})
    assert predictor.evaluations == int(drawn.nfe.sum())
    assert (drawn.rounds >= 1).all()
    assert (drawn.nfe <= drawn.rounds * chain.steps).all()
    assert set(drawn.stopped) <= {"converged", "max_iter", "diverged"}


@EACH
def test_every_sampler_makes_each_image_alone_as_in_a_batch(name):
    chain, _ = counted(name=name)
    together = sample(name, chain, {})
    for i in range(2):
        alone = sample(name, chain.select(torch.tensor([i])), {})
        assert relative(alone.x0[0], together.x0[i]) < 1e-12
        assert int(alone.rounds[0]) == int(together.rounds[i])


@EACH
def test_every_sampler_is_the_same_at_any_micro_batch(name):
    large, predictor = counted(name=name)
    predictor.max_batch = 10_000
    small, predictor = counted(name=name)
    predictor.max_batch = 3
    assert relative(sample(name, small, {}).x0, sample(name, large, {}).x0) < 1e-12


@EACH
def test_every_sampler_says_so_when_the_network_gives_nan(name):
    chain, _ = counted(5, name)
    object.__setattr__(chain, "eps_model", lambda x, t: torch.where(t.view(-1, 1, 1, 1) < 500, torch.nan, x))
    assert set(sample(name, chain, {}).stopped) == {"diverged"}


@EACH
def test_every_sampler_tells_its_rounds(name):
    told = []
    chain, _ = counted(20, name)
    drawn = sample(name, chain, {}, on_round=lambda r: told.append((r.number, r.samples.clone(), r.x0.clone(), r.nfe)))
    rounds, nfe, last = torch.zeros(len(drawn.x0)), torch.zeros(len(drawn.x0)), torch.zeros_like(drawn.x0)
    for number, samples, x0, evaluations in told:
        rounds[samples] = number
        nfe[samples] += evaluations
        last[samples] = x0
    assert torch.equal(rounds, drawn.rounds.float())
    assert torch.equal(nfe, drawn.nfe.float())
    assert torch.equal(last, drawn.x0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sequentail", {}, "did you mean 'sequential'"),
        ("windowed", {"windw": 3}, "did you mean 'window'"),
        ("windowed", {"split": "up"}, 'expected one of eps, drift; found "up"'),
        ("joint", {"solver": "andersen"}, "did you mean 'anderson'"),
        ("joint", {"start": "x"}, "start: expected one of x_T, zeros"),
        ("joint", {"mm": 3}, "mm"),
    ],
)
def test_an_unknown_method_or_option_is_one_clear_sentence(name, options, words):
    chain, _ = counted(steps=5)
    with pytest.raises(UserError, match=words):
        sample(name, chain, options)


def test_a_window_evaluates_fewer_states_than_whole_sweeps():
    chain, _ = counted(steps=100)
    windowed = sample("windowed", chain, {})
    whole = sample("windowed", chain, {"window": 1.0})
    assert (windowed.nfe < whole.nfe).all()
    assert (windowed.nfe <= 10 * chain.steps).all()


def test_the_picard_solver_is_named_in_options_only():
    chain, _ = counted()
    picard = sample("joint", chain, {"solver": "picard", "tol": 1e-9, "max_iter": 60})
    anderson = sample("joint", chain, {"solver": "anderson", "tol": 1e-9, "max_iter": 60})
    assert relative(picard.x0, anderson.x0) < 1e-6
    assert set(picard.stopped) == set(anderson.stopped) == {"converged"}


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_other_predictions_are_turned_into_eps(prediction):
    chain, predictor = counted()
    alpha_bar = predictor.alpha_bar
    net = predictor.net

    def other(x, t):
        a = alpha_bar[t].view(-1, 1, 1, 1)
        eps = net(x, t)
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        return x0 if prediction == "sample" else a.sqrt() * eps - (1 - a).sqrt() * x0

    x, t = chain.x_T, torch.tensor([3, 900])
    drawn = NoisePredictor(other, alpha_bar, prediction)(x, t)
    assert relative(drawn, net(x, t)) < 1e-8


SHAPES = {(1, 4, 4): 1, (2, 4, 4): 1, (3, 4, 4): 1, (1, 16, 16): 8, (3, 16, 24): 8, (3, 28, 28): 4, (3, 17, 17): 1}


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_secants_turn_images_there_and_back(shape, eta):
    """Turned, the chain is the same chain: its walk turned back is the walk, and lengths stay."""
    generator = torch.Generator().manual_seed(1)
    x_T = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 10, *shape, generator=generator, dtype=torch.float64) if eta else None
    schedule = Schedule.of(oracles.scheduler())
    chain = DDIMChain.make(oracles.ToyEps(shape[0]), schedule, "uniform-paper", 10, x_T, eta=eta, noise=noise)
    transform = secant.BlockDCT.of(x_T)
    assert transform.block == SHAPES[shape]
    turned = transform.chain(chain)
    assert torch.allclose(turned.x_T.flatten(1).norm(dim=1), x_T.flatten(1).norm(dim=1))
    back = transform.inverse(torch.stack(list(turned.walk()), 1))
    assert relative(back, torch.stack(list(chain.walk()), 1)) < 1e-12


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 16, 16), (3, 16, 24)])
def test_turned_coordinates_are_cosine_transforms_of_blocks_and_channels(shape):
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    transform = secant.BlockDCT.of(x)
    b, (rows, columns) = transform.block, (side // transform.block for side in shape[1:])
    blocks = x.numpy().reshape(2, shape[0], rows, b, columns, b)
    expected = scipy.fft.dctn(blocks, axes=(1, 3, 5), norm="ortho").transpose(0, 1, 3, 5, 2, 4)
    assert np.allclose(transform.forward(x).numpy(), expected.reshape(2, -1, rows, columns))


def test_bands_of_large_images_have_slopes_of_their_own():
    """Data whose variance differs by frequency take fewer rounds than with one slope a step."""
    x_T = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    transform, schedule = secant.BlockDCT.of(x_T), Schedule.of(oracles.scheduler())
    variance = torch.logspace(0, -4, 64, dtype=torch.float64).view(64, 1, 1)

    def eps(x, t):
        alpha_bar = schedule.alpha_bar[t].view(-1, 1, 1, 1)
        return transform.inverse((1 - alpha_bar).sqrt() * transform.forward(x) / (alpha_bar * variance + 1 - alpha_bar))

    chain = DDIMChain.make(eps, schedule, "uniform-paper", 60, x_T)
    exact = list(chain.walk())[-1]
    bands = sample("secant", chain, {"tol": 1e-5, "nodes": 60})
    assert relative(bands.x0, exact) < 1e-4
    turned, known = transform.chain(chain), secant.slopes(chain, 0.2)
    alone = Run(secant_sweeps(turned, replace(known, place=None), tol=1e-5, nodes=60), len(x_T)).to_end()
    assert bands.rounds.sum() < alone.rounds.sum()


def test_nodes_of_long_chains_are_closer_than_others():
    def evaluations(steps, options):
        return sample("secant", counted(steps)[0], options).nfe

    assert torch.equal(evaluations(100, {}), evaluations(100, {"gap": 0.03}))
    assert torch.equal(evaluations(900, {}), evaluations(900, {"gap": 0.02}))
    assert not torch.equal(evaluations(900, {}), evaluations(900, {"gap": 0.03}))
