"""The smoke scale's experiments of the paper, with changes; and the files of jobs on its digits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from deqbench import scale, zoo
from deqbench.config.strict import Strict
from deqbench.experiments.files import Files
from deqbench.experiments.scope import Scope
from tests.scales import smoke

PAPER = "deq-ddim"
FILE = Path(__file__).parents[3] / "config/smoke.yaml"
ABOUT = {"paper": PAPER, "seed": 3, "dataset": "digits", "grid": "uniform-released", "device": "cpu", "max_batch": 64}
WEIGHTS = Files({"weights": [zoo.path("digits")]}, {})


def values(change: Callable[[dict[str, Any]], object] = lambda paper: None) -> dict[str, Any]:
    """The scale's values, of this paper alone; change: what to do with the paper's section before."""
    whole = smoke()
    whole["papers"] = {PAPER: whole["papers"][PAPER]}
    change(whole["papers"][PAPER])
    return whole


def scope(experiment: str, change: Callable[[dict[str, Any]], object] = lambda paper: None) -> Scope:
    """An experiment in the scale's config."""
    return Scope(scale.validate(values(change), "some.yaml"), PAPER, experiment)


def edited(job: Any, **changes: Any) -> Any:
    """A job with some of its settings changed."""
    return type(job).model_validate(json.loads(job.model_dump_json()) | changes)


def told(job: Strict) -> Strict:
    """A job as the command line hands it on."""
    return type(job).model_validate_json(job.model_dump_json())


def silent(done: int, total: int) -> None:
    """A job's callback."""
    assert 0 < done <= total


def cell(frame: pd.DataFrame, **keys: Any) -> list[float]:
    """The values of the rows of some keys."""
    for key, value in keys.items():
        frame = frame[frame[key] == value]
    return frame["value"].tolist()
