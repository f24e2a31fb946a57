"""Methods are measured with what was chosen for them, and timed in turn."""

import json

import pytest

from deqbench.diffusion import noise
from deqbench.diffusion.samplers import sample
from deqbench.experiments.deq_ddim import chains
from deqbench.experiments.deq_ddim.chains import CALIBRATION
from deqbench.experiments.deq_ddim.comparison.job import MeasureJob, TimeJob
from deqbench.experiments.deq_ddim.comparison.measure import compare, times
from deqbench.experiments.deq_ddim.comparison.problems import of_mixture
from deqbench.experiments.deq_ddim.shared import Method
from tests.experiments.deq_ddim.smoke import silent


@pytest.fixture(scope="module")
def problem():
    return of_mixture("mixture-64", "uniform-released", "cpu", 64, seed=3)


@pytest.fixture
def drawn(monkeypatch):
    """The images of all chains made, in order."""
    images, real = [], noise.x_T
    monkeypatch.setattr(noise, "x_T", lambda seed, wanted, shape: images.extend(wanted) or real(seed, wanted, shape))
    return images


def job(**changes):
    settings = {
        "paper": "deq-ddim",
        "experiment": "comparison",
        "seed": 3,
        "dataset": "mixture-64",
        "grid": "uniform-released",
        "device": "cpu",
        "max_batch": 64,
        "methods": {
            "ddim": {"method": Method(sampler="sequential"), "compared": {}},
            "tuned": {
                "method": Method(sampler="secant", options={"nodes": 4}),
                "compared": {"candidates": [{"nodes": 3}, {"nodes": 5}]},
            },
        },
        "T": 10,
        "images": 3,
        "calibration": 2,
    }
    return MeasureJob(**settings | changes)


def test_a_tuned_method_is_measured_with_what_was_chosen(problem):
    records, _, chosen = compare(problem, job(), silent)
    (picked,) = chosen
    assert picked["options"] in ({"nodes": 3}, {"nodes": 5})
    assert json.loads(json.dumps(picked)) == picked
    alone = sample("secant", problem.chain(10, range(3)), picked["options"])
    found = [row["value"] for row in records if (row["method"], row["metric"]) == ("tuned", "rounds")]
    assert found == alone.rounds.tolist()
    assert {row["image"] for row in records} == {0, 1, 2}


def test_groups_of_images_give_what_all_together_give(problem, monkeypatch):
    together = compare(problem, job(), silent)[0]
    monkeypatch.setattr(chains, "GROUP", 20)
    parts = compare(problem, job(), silent)[0]
    key = ("method", "image", "metric")
    values = [{tuple(row[k] for k in key): row["value"] for row in rows} for rows in (together, parts)]
    assert values[0].keys() == values[1].keys()
    assert all(values[0][k] == pytest.approx(values[1][k], rel=1e-2, abs=1e-5) for k in values[0])


def test_times_are_of_every_image_but_those_that_warm_up_and_errors_are_to_the_baseline(problem, drawn):
    methods = {"windowed": Method(sampler="windowed"), "ddim": Method(sampler="sequential")}
    wanted = TimeJob(
        paper="deq-ddim",
        experiment="comparison",
        seed=3,
        device="cpu",
        max_batch=64,
        grids={"mixture-64": "uniform-released"},
        methods=methods,
        baseline="ddim",
        images={"mixture-64": {10: 2, 5: 1}},
        compared={"mixture-64": {10: list(methods), 5: list(methods)}},
    )
    chosen = {("mixture-64", 10, "windowed"): {"min_window": 1}}
    parts = list(times(problem, wanted, "mixture-64", chosen))
    records, rows = ([row for part in parts for row in part[at]] for at in (0, 1))
    assert [(row["T"], row["image"], row["method"]) for row in records] == [
        (T, image, method) for T, image in ((10, 0), (10, 1), (5, 0)) for method in ("ddim", "windowed")
    ]
    assert drawn == [CALIBRATION] * 2 + [0, 0, 1, 1, 0, 0]
    for record in records:
        mine = [row for row in rows if all(row[key] == record[key] for key in ("T", "image", "method"))]
        seconds = [row["seconds"] for row in mine]
        assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] <= record["value"]
        assert [row["round"] for row in mine] == list(range(1, len(mine) + 1))
        assert mine[-1]["value"] < (1e-12 if record["method"] == "ddim" else 1e-3)
    assert sum(row["method"] == "windowed" and row["T"] == 10 and row["image"] == 0 for row in rows) == 10
