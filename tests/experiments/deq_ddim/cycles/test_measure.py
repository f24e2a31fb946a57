"""Long solves of the shipped digits network."""

import pandas as pd
import torch

from deqbench.experiments.deq_ddim.cycles import measure
from deqbench.experiments.deq_ddim.cycles.config import Cycles
from deqbench.experiments.deq_ddim.cycles.job import SolveJob
from deqbench.experiments.deq_ddim.shared import Method
from tests.experiments.deq_ddim.smoke import ABOUT, WEIGHTS, cell, silent


def test_a_solve_that_settles_is_told_from_one_that_goes_round(monkeypatch):
    section = Cycles(methods=["picard"], runs={10: 2}, rounds=24)
    picard = Method(sampler="joint", options={"solver": "picard", "max_iter": 4, "tol": 0.0})
    job = SolveJob(**ABOUT, experiment="cycles", methods={"picard": picard}, cycles=section)
    found = pd.DataFrame(measure.solve(job, WEIGHTS, silent)["records"])
    assert cell(found, metric="cycling") == [0.0, 0.0]
    assert max(cell(found, metric="x0_error_last")) < 1e-4

    def rounding(name, made, options, on_round=None):
        if name == "sequential":
            return found_x0
        for k in range(1, 25):
            size = torch.tensor([1.0 + 0.1 * (k % 3)], dtype=torch.float64)
            on_round(measure.Round(number=k, x0=torch.ones(1, 1, 8, 8), absolute=size, relative=size))
        return found_x0

    found_x0 = type("Sampled", (), {"x0": torch.full((1, 1, 8, 8), 2.0)})
    monkeypatch.setattr(measure, "sample", rounding)
    found = pd.DataFrame(measure.solve(job, WEIGHTS, silent)["records"])
    assert cell(found, metric="cycling") == [1.0, 1.0]
    assert cell(found, metric="x0_error_last") == [0.5, 0.5]
