"""Workers that share the rounds of the shipped digits network."""

import pandas as pd

from deqbench.experiments.deq_ddim.shared import Method
from deqbench.experiments.deq_ddim.workers import measure
from deqbench.experiments.deq_ddim.workers.config import Workers
from deqbench.experiments.deq_ddim.workers.job import TimeJob
from tests.experiments.deq_ddim.smoke import ABOUT, WEIGHTS, silent


def test_workers_are_timed():
    section = Workers(method="picard", T=[10], workers=[1, 2], repeats=2)
    picard = Method(sampler="joint", options={"solver": "picard", "max_iter": 4, "tol": 0.0})
    job = TimeJob(**ABOUT, experiment="workers", method=picard, workers=section)
    rows = pd.DataFrame(measure.time(job, WEIGHTS, silent)["records"])
    assert rows.groupby("method")["value"].count().to_dict() == {"workers-1": 2, "workers-2": 2}
    assert (rows["value"] > 0).all()
