"""Every linear split of the joint solve: the same fixed point, reached exactly within as many rounds as steps."""

from dataclasses import replace
from typing import get_args

import pytest
import scipy.fft
import torch

from deqbench.diffusion.moments import Moments, cosines, pictures
from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.samplers import sample
from deqbench.diffusion.splits import Split, SplitChain, flow_ratio, gaussian_start, split_chain
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative

SPLITS = get_args(Split)


def images(count=200):
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64).cumsum(2) * 0.3


def chain_of(steps=20, **options):
    chain, *_ = make(steps, **options)
    return replace(chain, moments=Moments.of(images()))


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("split", SPLITS)
def test_as_many_rounds_as_steps_give_the_sequential_chain(split, eta):
    chain = chain_of(eta=eta)
    walked = torch.stack(list(chain.walk()), 1)
    drawn = sample("joint", chain, {"solver": "picard", "split": split, "tol": 0.0, "max_iter": chain.steps})
    assert relative(drawn.states, walked) < 1e-12


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize("split", SPLITS)
def test_the_sequential_chain_is_a_fixed_point(split, eta):
    chain = chain_of(eta=eta)
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(split_chain(chain, split)(walked), walked) < 1e-12


@pytest.mark.parametrize("split", SPLITS)
def test_samples_are_swept_apart(split):
    chain = chain_of()
    system, z = split_chain(chain, split), chain.initial()
    assert torch.equal(system.select(torch.tensor([1]))(z[1:]), system(z)[1:])


@pytest.mark.parametrize("split", SPLITS)
def test_the_evaluations_of_a_split_are_counted(split):
    chain = chain_of()
    predictor = NoisePredictor(chain.eps_model, chain.alpha_bar)
    told = []
    drawn = sample(
        "joint",
        replace(chain, eps_model=predictor),
        {"split": split},
        lambda r: told.append((r.number, int(r.nfe.sum()))),
    )
    assert predictor.evaluations == int(drawn.nfe.sum()) == sum(nfe for _, nfe in told)
    assert told[-1][0] == int(drawn.rounds.max())
    assert told[0][0] == (3 if split == "step" else 1)


def linear(chain, variance):
    """The chain of Gaussian data: eps = x sqrt(1 - alpha_bar) / (alpha_bar v + 1 - alpha_bar), v by frequency."""

    def eps(x, t):
        a = chain.alpha_bar[:-1][(chain.timesteps[None] == t[:, None]).long().argmax(1)].view(-1, 1, 1, 1)
        return pictures(cosines(x) * (1 - a).sqrt() / (a * variance + 1 - a))

    return replace(chain, eps_model=eps)


def test_one_round_solves_a_linear_chain_of_one_slope_a_step_by_its_own_jacobian():
    chain = linear(chain_of(), torch.tensor(0.4, dtype=torch.float64))
    walked = torch.stack(list(chain.walk()), 1)
    # a difference quotient is right to about eps ** (2 / 3)
    assert relative(split_chain(chain, "step")(chain.initial()), walked) < 1e-8
    assert relative(split_chain(chain, "drift")(chain.initial()), walked) > 1e-2


@pytest.mark.parametrize("steps", [50, 500])
def test_flow_ratios_solve_gaussian_data_but_for_the_error_of_the_steps(steps):
    """DDIM of Gaussian data follows their flow to O(1 / T); both variances by frequency and the start share it."""
    moments = Moments.of(images())
    chain = replace(linear(chain_of(steps), moments.frequencies), moments=replace(moments, mean=0 * moments.mean))
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(split_chain(chain, "frequency")(chain.initial()), walked) < 4 / steps
    assert relative(gaussian_start(chain), walked) < 4 / steps
    assert relative(split_chain(chain, "pixel")(chain.initial()), walked) > 0.1


def test_the_start_carries_the_mean():
    chain = chain_of(1000)
    moments = chain.moments
    flat = replace(chain, x_T=(chain.alpha_bar[0].sqrt() * moments.mean).expand(2, 3, 6, 6))
    ends = gaussian_start(flat)
    assert relative(ends, chain.after.sqrt().view(-1, 1, 1, 1) * moments.mean.expand(2, 1000, 3, 6, 6)) < 1e-12


def test_cosines_are_those_of_scipy_and_pictures_turn_them_back():
    x = images(5)
    assert relative(cosines(x), torch.from_numpy(scipy.fft.dctn(x.numpy(), norm="ortho", axes=(2, 3)))) < 1e-13
    assert relative(pictures(cosines(x)), x) < 1e-13


def test_moments_are_the_variances_along_pixels_and_frequencies():
    x = images(50)
    moments = Moments.of(x.float())
    assert relative(moments.mean, x.float().double().mean(0)) < 1e-12
    assert moments.frequencies.sum().item() == pytest.approx(moments.pixels.sum().item(), rel=1e-12)  # a rotation
    assert moments.variance == pytest.approx(moments.pixels.mean().item(), rel=1e-12)


def test_a_flow_ratio_is_that_of_the_deviations():
    chain = chain_of(10)
    v = torch.tensor([0.0, 1.0], dtype=torch.float64)
    drawn = flow_ratio(chain, v)
    assert torch.allclose(drawn[:, 1], torch.ones(10, dtype=torch.float64))  # unit variance stays
    assert torch.allclose(drawn[:, 0], ((1 - chain.after) / (1 - chain.alpha_bar[:-1])).sqrt())


@pytest.mark.parametrize("options", [{"split": "pixel"}, {"split": "variance"}, {"start": "gaussian"}])
def test_splits_that_need_moments_say_so(options):
    chain, *_ = make(10)
    with pytest.raises(UserError, match="needs the mean and variances of the data; found none"):
        sample("joint", chain, options)


def test_an_unknown_split_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"split: expected one of drift, .*; found 'drif' \(did you mean 'drift'\?\)"):
        split_chain(chain_of(), "drif")


def test_eps_is_the_chain_itself():
    chain = chain_of()
    assert split_chain(chain, "eps") is chain
    assert isinstance(split_chain(chain, "drift"), SplitChain)
