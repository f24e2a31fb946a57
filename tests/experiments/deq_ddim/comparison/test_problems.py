"""Analytic problems are what they say."""

import numpy as np
import pytest
import torch

from deqbench.data import datasets
from deqbench.experiments.deq_ddim.comparison.config import MIXTURES
from deqbench.experiments.deq_ddim.comparison.oracle import exact
from deqbench.experiments.deq_ddim.comparison.problems import of_mixture


@pytest.mark.parametrize("name", MIXTURES)
def test_every_mixture_that_a_config_may_name_makes_chains(name):
    made = of_mixture(name, "uniform-released", "cpu", 64, seed=3)
    assert np.prod(made.shape) == int(name.split("-")[1])
    chain = made.chain(5, range(2))
    assert chain.x_T.dtype == torch.float32
    x0 = exact(made, 5, range(2))
    assert x0.dtype == torch.float32 and x0.isfinite().all()
    assert made.eps.evaluations == 10


def test_the_small_mixture_s_centres_are_digits_and_nothing_else():
    problem = of_mixture("mixture-64", "uniform-released", "cpu", 64, seed=3)
    train = datasets.digits().train
    assert torch.equal(problem.eps.net.centres.float(), train[:500])
