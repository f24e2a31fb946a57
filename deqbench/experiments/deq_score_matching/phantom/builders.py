"""Models of other kinds, from the files of their trainings: what iterations.py can count the rounds of.

A model is added by a function here, its name in config.NETWORKS, and an entry of `table-10.models` in a config.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.experiments.deq_score_matching.nice import flows
from deqbench.experiments.deq_score_matching.nice.config import Flow, Method, Nice
from deqbench.records import read_json


@dataclass(frozen=True)
class Built:
    """A trained model, what runs it on rows, and the rows that it was trained on."""

    net: nn.Module
    call: Callable[[Tensor], Any]
    train: Tensor  # (N, *dims)


Builder = Callable[[Path, Path, dict[str, Any]], Built]  # of weights, data set, and the section of their experiment


def nice(weights: Path, data: Path, section: dict[str, Any]) -> Built:
    """A flow, whose card beside its weights says how it was made."""
    card = read_json(weights.with_suffix(".json"))
    rows = flows.deal(data, Nice.model_validate(section).images, card["split"])["train"]
    net = flows.build(rows.shape[1], Flow(**card["flow"]), Method(**card["loss"]), card["split"])
    net.load_state_dict(load_file(weights))
    return Built(net.eval(), net, rows)


BUILDERS: dict[str, Builder] = {"nice": nice}
