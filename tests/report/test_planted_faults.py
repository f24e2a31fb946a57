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

from deqbench import papers, provenance, scale, zoo
from deqbench.commands import report
from deqbench.commands.run import command as run
from deqbench.config.strict import Strict
from deqbench.diffusion import chain
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.schedule import Schedule
from deqbench.experiments.deq_ddim import chains
from deqbench.experiments.deq_ddim.scores import job as jobs
from deqbench.experiments.inputs import job as inputs
from deqbench.experiments.scope import Scope
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


def given(**files: Path) -> list[list[str]]:
    """The words of files by name, as one argument."""
    return [[f"{name}={path}" for name, path in files.items()]]


def told(job: Strict) -> str:
    """A slice of the config as the command line has it."""
    return job.model_dump_json()


@dataclass(frozen=True)
class Table1:
    """Table 1 of the digits at tiny size, by the commands that the rules call."""

    root: Path
    config: scale.Config

    @property
    def scope(self) -> Scope:
        return Scope(self.config, "deq-ddim", "table-1")

    def build(self, name: str, methods: Iterable[str] = METHODS) -> Path:
        """The folder of the tables made anew: those methods' images drawn anew, the others' as accepted."""
        drawn = {m: self.root / (name if m in methods else "accepted") / m / "0.safetensors" for m in METHODS}
        for method, path in drawn.items():
            if not path.exists():
                run(
                    "deq_ddim.scores.draw",
                    self.settings(method),
                    *given(weights=zoo.path("digits")),
                    *given(images=path),
                )
        scores, tables = self.root / name / "deq-ddim/table-1/digits/scores.csv", self.root / name / "tables"
        data = {"dataset": self.root / "digits.safetensors", "features": self.root / "features.safetensors"}
        read = [*given(**data)[0], *(f"drawn={path}" for path in drawn.values())]
        run("deq_ddim.scores.score", told(jobs.score(self.scope, "digits")), read, *given(records=scores))
        report.tables("deq-ddim", [scores], self.root / "config.yaml", tables / "deq-ddim")
        return tables

    def settings(self, method: str) -> str:
        """Of a job that draws one method's images."""
        return told(jobs.draw(self.scope, "digits", method, "0"))

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
    made = Table1(root, scale.validate(values, "test"))
    images, features = root / "digits.safetensors", root / "features.safetensors"
    run("inputs.dataset", told(inputs.dataset(made.scope, "digits")), [], *given(images=images))
    run(
        "inputs.features",
        told(inputs.features(made.scope, "digits")),
        *given(dataset=images),
        *given(features=features),
    )
    made.build("accepted")
    return made


def test_another_thread_count_is_no_difference(table_1):
    passive = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # read when torch is loaded
    methods = ["ddim", "deq-ddim-paper"]
    for method in methods:
        out = table_1.root / "threads" / method / "0.safetensors"
        files = ["--input", f"weights={zoo.path('digits')}", "--output", f"images={out}"]
        words = ["--threads", "2", "run", "deq_ddim.scores.draw", *files, "--settings", table_1.settings(method)]
        words = [sys.executable, "-m", "deqbench.cli", *words]
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
    predictor = chains.NoisePredictor
    monkeypatch.setattr(chains, "NoisePredictor", lambda net, a, kind, n: predictor(net, a, "v_prediction", n))
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
