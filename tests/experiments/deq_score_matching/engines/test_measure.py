"""Ways to take a step: they compute what they say, and what they are weighed by."""

import pandas as pd
import pytest
import torch

from deqbench.experiments.deq_score_matching.engines import measure, ways
from deqbench.experiments.deq_score_matching.engines.config import Engines, Problem
from deqbench.experiments.deq_score_matching.engines.job import EnginesJob
from deqbench.experiments.files import Files

KERNEL = Problem(model="kernel", dimensions=4, batch=5, points=6, width=7)
CONVOLUTION = Problem(model="convolution", side=6, channels=2, kernel_size=3, batch=3)


def gradients(net: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("problem", [KERNEL, CONVOLUTION], ids=["kernel", "convolution"])
def test_all_phantom_ways_take_the_same_step_and_the_exact_one_another(problem: Problem) -> None:
    net, x = ways.model(problem), ways.rows(problem, 0)
    with torch.no_grad():  # weights large enough for K = 2 to be seen to differ
        for name, p in net.named_parameters():
            p.mul_(3 if "inject" in name or "readout" in name else 1)
        for alpha in (p for name, p in net.named_parameters() if name == "alpha"):
            alpha.mul_(5)
    runs = ways.steps(net, problem, x)
    runs.pop("phantom-separate", None)  # of other weights
    made = {name: (run(), gradients(net)) for name, run in runs.items()}
    loss, wanted = made["phantom-loop"]
    for name, (value, own) in made.items():
        close = torch.allclose(value, loss, rtol=1e-4, atol=1e-4)
        assert close == (name != "exact"), name
        if name != "exact":
            for mine, theirs in zip(own, wanted, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-2, atol=1e-4)


def job() -> EnginesJob:
    section = Engines(
        problems={"small": KERNEL, "images": CONVOLUTION}, repeats=2, deep="small", layers=[2], iterations=[2, 8]
    )
    return EnginesJob(
        paper="deq-score-matching", experiment="engines", seed=0, device="cpu", max_batch=9, engines=section
    )


def test_every_way_is_timed_as_often_and_the_fastest_stock_way_stands_once_more() -> None:
    made = measure.time(job(), Files({}, {}), lambda done, count: None)
    times = pd.DataFrame(made["times"])
    counts = times.groupby(["dataset", "method"])["seed"].count()
    assert set(counts) == {2}
    for _, own in times.groupby("dataset"):
        medians = own.groupby("method")["value"].median()
        assert medians["phantom-stock"] == min(medians[name] for name in ways.STOCK if name in medians)
    assert set(pd.DataFrame(made["depths"])["layers"]) == {2}


def test_bytes_do_not_grow_with_the_solve_unless_it_is_unrolled() -> None:
    made = measure.weigh(job(), Files({}, {}), lambda done, count: None)
    growth = pd.DataFrame(made["solves"]).query("iterations == 8").set_index(["method", "metric"])["value"]
    assert growth["exact", "saved_bytes_growth"] == pytest.approx(1, abs=0.02)
    assert growth["phantom-loop", "saved_bytes_growth"] == pytest.approx(1, abs=0.02)
    assert growth["unrolled", "saved_bytes_growth"] > 1.5
    weights = pd.DataFrame(made["bytes"]).set_index(["dataset", "method", "metric"])["value"]
    stock = min(weights["small", way, "saved_bytes"] for way in ("phantom-loop", "phantom-batched"))
    assert weights["small", "exact", "fewer_bytes"] == stock / weights["small", "exact", "saved_bytes"] > 1
    assert (weights.xs("peak_bytes", level="metric") >= weights.xs("saved_bytes", level="metric")).all()
