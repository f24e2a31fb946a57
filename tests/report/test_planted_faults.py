"""The regression check sees faults planted in the algorithms, and does not see a change of the thread count."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml

from deqbench import config, jobs, papers, provenance, zoo
from deqbench.commands import dataset, report, sampling, statistics
from deqbench.diffusion import chain, experiments
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.schedule import Schedule
from deqbench.report import regression
from deqbench.solvers.anderson import Anderson, ridge_terms

SMOKE = Path(__file__).parents[2] / "config/smoke.yaml"
STOCHASTIC = {
    "ddpm-large": {"sampler": "sequential", "eta": 1, "variance": "large"},
    "ddpm-posterior": {"sampler": "sequential", "eta": 1},
}
SEQUENTIAL = {**STOCHASTIC, "ddim": {"sampler": "sequential"}}
CHAIN = {**SEQUENTIAL, "deq-ddim-paper": {"sampler": "joint", "preset": "paper"}}  # all ways to walk or solve a chain
METHODS = {**CHAIN, "deq-ddim-released": {"sampler": "joint", "preset": "released"}}


@dataclass(frozen=True)
class Table1:
    """Table 1 of the digits at tiny size, by the commands that the rules call."""

    root: Path
    scale: config.Config

    def build(self, name: str, methods: Iterable[str] = METHODS) -> Path:
        """The folder of the tables made anew: those methods' images drawn anew, the others' as accepted."""
        drawn = [self.root / (name if m in methods else "accepted") / m / "0.safetensors" for m in METHODS]
        for method, path in zip(METHODS, drawn, strict=True):
            if not path.exists():
                sampling.draw(method, self.settings(method), zoo.path("digits"), path)
        scores, tables = self.root / name / "deq-ddim/table-1/digits/scores.csv", self.root / name / "tables"
        data = (self.root / "digits.safetensors", self.root / "features.safetensors")
        sampling.score(drawn, jobs.score(self.scale, "digits").model_dump_json(), *data, scores)
        report.tables("deq-ddim", [scores], self.root / "config.yaml", tables / "deq-ddim")
        return tables

    def settings(self, method: str) -> str:
        """Of a job that draws one method's images alone."""
        job = jobs.draw(self.scale, "digits", "every-method", 0)
        return job.model_copy(update={"methods": {method: job.methods[method]}}).model_dump_json()

    def moved(self, name: str, methods: Iterable[str] = METHODS) -> dict[str, set[str]]:
        """Which metrics of which methods the check names, once the tables are made anew."""
        found: dict[str, set[str]] = {}
        with contextlib.redirect_stderr(io.StringIO()):
            comparison = regression.compare(self.build(name, methods), self.root / "accepted/tables")
        for difference in comparison.differences:
            *_, method, metric = difference.cell.split()
            found.setdefault(method, set()).add(metric)
        return found


@pytest.fixture(scope="module")
def table_1(tmp_path_factory) -> Table1:
    """The accepted tables."""
    root = tmp_path_factory.mktemp("planted")
    values = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
    paper = values["papers"]["deq-ddim"]
    scores = {"digits": {"T": 20, "images": 40}}
    paper |= {
        "methods": {**paper["methods"], **METHODS},
        "table-1": {**paper["table-1"], "methods": list(METHODS), "scores": scores},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    made = Table1(root, config.validate(values, "test"))
    job = jobs.dataset(made.scale, "digits").model_dump_json()
    dataset.build("digits", job, root / "digits.safetensors")
    statistics.features(root / "digits.safetensors", "digits-features", root / "features.safetensors")
    made.build("accepted")
    return made


def test_another_thread_count_is_no_difference(table_1):
    passive = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # read when torch is loaded
    methods = ["ddim", "deq-ddim-paper"]
    for method in methods:
        options = ["--settings", table_1.settings(method), "--weights", zoo.path("digits"), "--threads", "2"]
        out = table_1.root / "threads" / method / "0.safetensors"
        words = [sys.executable, "-m", "deqbench.cli", "sampling", "draw", method, *options, "--out", out]
        subprocess.run(words, env=passive, check=True, stderr=subprocess.DEVNULL)
        assert json.loads(provenance.sidecar(out).read_text(encoding="utf-8"))["threads"] == 2
    assert torch.get_num_threads() == 1
    assert table_1.moved("threads", methods) == {}


def test_a_last_step_that_stops_short_of_the_image_is_seen_in_every_method(table_1, monkeypatch):
    def short(scheduler, of: Callable[..., Schedule] = Schedule.of) -> Schedule:
        made = of(scheduler)
        return replace(made, final_alpha_bar=float(made.alpha_bar[0]))

    monkeypatch.setattr(Schedule, "of", short)
    found = table_1.moved("last", CHAIN)
    assert found.keys() >= CHAIN.keys()
    assert "diffusers_error" in found["ddim"]


def test_a_grid_that_is_off_by_one_timestep_is_seen_in_every_method(table_1, monkeypatch):
    grid = chain.timesteps
    monkeypatch.setattr(chain, "timesteps", lambda *args: grid(*args) + 1)
    found = table_1.moved("shifted", CHAIN)
    assert found.keys() >= CHAIN.keys()
    assert "diffusers_error" in found["ddim"]


def test_dropped_noise_is_seen_in_the_stochastic_methods_only(table_1, monkeypatch):
    make = DDIMChain.make

    def quiet(*args, **options) -> DDIMChain:
        made = make(*args, **options)
        return replace(made, noise_scale=torch.zeros_like(made.noise_scale))

    monkeypatch.setattr(DDIMChain, "make", quiet)
    found = table_1.moved("quiet", SEQUENTIAL)
    assert found.keys() == STOCHASTIC.keys()
    assert all({"frechet", "pixel_std", "diffusers_error"} <= metrics for metrics in found.values())


def test_velocity_taken_for_noise_is_seen_in_every_method(table_1, monkeypatch):
    predictor = experiments.NoisePredictor
    monkeypatch.setattr(experiments, "NoisePredictor", lambda net, a, kind, n: predictor(net, a, "v_prediction", n))
    found = table_1.moved("velocity", CHAIN)
    assert found.keys() >= CHAIN.keys()
    assert all({"frechet", "pixel_std"} <= found[method] for method in CHAIN)


def test_a_hundredfold_ridge_of_the_released_code_is_seen_in_its_row_only(table_1, monkeypatch):
    preset = papers.preset

    def stiff(paper: str, name: str) -> dict:
        options = preset(paper, name)
        return {**options, "ridge": 100 * options["ridge"]} if "ridge" in options else options

    monkeypatch.setattr(papers, "preset", stiff)
    found = table_1.moved("stiff", ["deq-ddim-released"])
    assert found.keys() == {"deq-ddim-released"}
    assert "pixel_mean" in found["deq-ddim-released"]


def test_a_hundredfold_default_ridge_stays_below_the_rounding_and_is_no_fault():
    terms = [
        ridge_terms(4, 0, replace(Anderson(), ridge=ridge), torch.float32, torch.device("cpu"))
        for ridge in (Anderson().ridge, 100 * Anderson().ridge)
    ]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(terms[0][:2], terms[1][:2], strict=True))


def test_a_default_ridge_above_the_rounding_is_seen_in_the_row_that_rests_on_it(table_1, monkeypatch):
    monkeypatch.setitem(Anderson.__init__.__kwdefaults__, "ridge", 1e-4)
    found = table_1.moved("ridge", ["deq-ddim-paper"])
    assert found.keys() == {"deq-ddim-paper"}
    assert "x0_error" in found["deq-ddim-paper"]
