"""The contract of every sampler in the folder: a newcomer is tested the day it arrives."""

import pytest
import torch

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.samplers import exact, missing, sample, samplers, secant
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError
from tests import oracles
from tests.diffusion.test_chain import make, relative

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
WITHOUT_NOISE = ("diffusers-parallel",)


def each(*names):
    """Parametrizes a test by samplers; those that need an extra which is not installed are skipped."""
    reason = "the optional package {} is not installed"
    marks = {name: [pytest.mark.skip(reason=reason.format(missing(name)))] if missing(name) else [] for name in names}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=marks[name]) for name in names])


def counted(steps=25, name=None, **options):
    chain, eps, _, made = make(steps, grid=GRIDS.get(name, "uniform-paper"), **options)
    predictor = NoisePredictor(eps, made.alphas_cumprod, max_batch=17)
    object.__setattr__(chain, "eps_model", predictor)
    return chain, predictor


@pytest.mark.parametrize("eta", [0.0, 0.5])
@each(*filter(exact, samplers()))
def test_every_sampler_run_to_the_end_gives_the_sequential_chain(name, eta):
    if eta and name in WITHOUT_NOISE:
        pytest.skip("refuses eta > 0 (tested in its own file)")
    chain, _ = counted(name=name, eta=eta)
    found = sample(name, chain, TO_THE_END.get(name, {}))
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(found.x0, walked[:, -1]) < 1e-11
    if found.states is not None:
        assert relative(found.states, walked) < 1e-11


@each(*samplers())
def test_every_sampler_reports_the_evaluations_that_the_network_saw(name):
    chain, predictor = counted(name=name)
    found = sample(name, chain, {})
    assert predictor.evaluations == int(found.nfe.sum())
    assert (found.rounds >= 1).all()
    assert (found.nfe <= found.rounds * chain.steps).all()
    assert set(found.stopped) <= {"converged", "max_iter", "diverged"}


@each(*samplers())
def test_every_sampler_makes_each_image_alone_as_in_a_batch(name):
    chain, _ = counted(name=name)
    together = sample(name, chain, {})
    for i in range(2):
        alone = sample(name, chain.select(torch.tensor([i])), {})
        assert relative(alone.x0[0], together.x0[i]) < 1e-12
        assert int(alone.rounds[0]) == int(together.rounds[i])


@each(*samplers())
def test_every_sampler_is_the_same_at_any_micro_batch(name):
    large, predictor = counted(name=name)
    predictor.max_batch = 10_000
    small, predictor = counted(name=name)
    predictor.max_batch = 3
    assert relative(sample(name, small, {}).x0, sample(name, large, {}).x0) < 1e-12


@each(*samplers())
def test_every_sampler_says_so_when_the_network_gives_nan(name):
    chain, _ = counted(5, name)
    object.__setattr__(chain, "eps_model", lambda x, t: torch.where(t.view(-1, 1, 1, 1) < 500, torch.nan, x))
    assert set(sample(name, chain, {}).stopped) == {"diverged"}


@each(*samplers())
def test_every_sampler_tells_its_rounds(name):
    told = []
    chain, _ = counted(20, name)
    found = sample(name, chain, {}, on_round=lambda r: told.append((r.number, r.samples.clone(), r.x0.clone(), r.nfe)))
    rounds, nfe, last = torch.zeros(len(found.x0)), torch.zeros(len(found.x0)), torch.zeros_like(found.x0)
    for number, samples, x0, evaluations in told:
        rounds[samples] = number
        nfe[samples] += evaluations
        last[samples] = x0
    assert torch.equal(rounds, found.rounds.float())
    assert torch.equal(nfe, found.nfe.float())
    assert torch.equal(last, found.x0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sequentail", {}, "did you mean 'sequential'"),
        ("windowed", {"windw": 3}, "did you mean 'window'"),
        ("windowed", {"split": "up"}, "expected eps or drift; found 'up'"),
        ("joint", {"solver": "andersen"}, "did you mean 'anderson'"),
        ("joint", {"start": "x"}, "start: expected one of x_T, zeros"),
        ("joint", {"mm": 3}, "mm"),
    ],
)
def test_an_unknown_method_or_option_is_one_clear_sentence(name, options, words):
    chain, _ = counted(steps=5)
    with pytest.raises(UserError, match=words):
        sample(name, chain, options)


def test_a_sampler_whose_extra_is_not_installed_says_what_to_install(monkeypatch):
    chain, _ = counted(steps=5)
    monkeypatch.setattr("deqbench.diffusion.samplers.torchdeq.REQUIRES", "no_such_package")
    with pytest.raises(UserError, match=r"package no_such_package; found none \(install it: pip install 'deqbench\["):
        sample("torchdeq", chain, {})


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
    found = NoisePredictor(other, alpha_bar, prediction)(x, t)
    assert relative(found, net(x, t)) < 1e-8


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_secants_turn_the_channels_there_and_back(channels, eta):
    """Turned, the chain is the same chain: its walk turned back is the walk, and lengths stay."""
    generator = torch.Generator().manual_seed(1)
    x_T = torch.randn(2, channels, 4, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 10, channels, 4, 4, generator=generator, dtype=torch.float64) if eta else None
    schedule = Schedule.of(oracles.scheduler())
    chain = DDIMChain.make(oracles.ToyEps(channels), schedule, "uniform-paper", 10, x_T, eta=eta, noise=noise)
    turn = secant._colours(chain.x_T)
    assert torch.allclose(turn @ turn.T, torch.eye(channels, dtype=turn.dtype), atol=1e-12)
    turned = secant._turned_chain(chain, turn)
    back = secant._turned(torch.stack(list(turned.walk()), 1), turn.T)
    assert relative(back, torch.stack(list(chain.walk()), 1)) < 1e-12
    if channels > 1:
        assert relative(turned.x_T, chain.x_T) > 0.1
        assert torch.allclose(turned.x_T[:, 0], chain.x_T.mean(1) * channels**0.5)
