"""A small kernel density on drawn rows, and jobs that follow its training."""

import torch

from deqbench.config.recipes import Equilibrium, Preparation
from deqbench.experiments.deq_score_matching.phantom.config import Followed, Iterations, Tolerance
from deqbench.experiments.deq_score_matching.phantom.job import FollowJob
from deqbench.score_matching.dkef import DKEF
from deqbench.training.settings import Optimisation
from deqbench.training.zoo.densities import started

FORM = Equilibrium(width=6, copies=2, points=5)
ITERATIONS = Iterations(tolerances={"absolute": Tolerance(atol=1e-6), "relative": Tolerance(tol=1e-3)}, max_iter=64)


def rows(count: int = 40, d: int = 3) -> torch.Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(1))


def net(seed: int = 0) -> DKEF:
    return started(FORM, rows(), seed)


def follow_job(**changes) -> FollowJob:
    method = Followed(
        objective=changes.pop("objective", "sm"),
        optimisation=Optimisation(steps=changes.pop("steps", 8), batch=10, lr=1e-2),
        printed="DEQ-SM DKEF",
    )
    told = {
        "paper": "deq-score-matching",
        "experiment": "phantom-error",
        "seed": 0,
        "device": "cpu",
        "max_batch": 8,
        "dataset": "wine",
        "name": "deq-sm",
        "method": method,
        "form": FORM,
        "preparation": Preparation(),
        "first_seed": 3,
        "every": 2,
        "late": 0.25,
        "kept": 4,
        "iterations": ITERATIONS,
    }
    return FollowJob(**told | changes)
