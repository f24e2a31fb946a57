"""The smoke scale's values, to be changed by tests."""

import copy
from pathlib import Path
from typing import Any

import yaml

from deqbench import papers

SMOKE = Path(__file__).parents[1] / "config/smoke.yaml"


def smoke() -> dict[str, Any]:
    """The scale's values with the papers' catalogues in them, so that any entry can be changed."""
    values = yaml.safe_load(SMOKE.read_text(encoding="utf-8"))
    for paper, section in values["papers"].items():
        for part, known in papers.catalogue(paper).items():
            section[part] = copy.deepcopy({**known, **section.get(part, {})})
    return values
