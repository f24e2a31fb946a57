"""A job a data set."""

from typing import Any

from deqbench import papers
from deqbench.experiments.deq_ddim.inversion_memory.config import InversionMemory
from deqbench.experiments.deq_ddim.shared import (
    ChainSlice,
    Inverter,
    chain_slice,
    datasets_of,
    network_and_images_of,
    resolved,
)
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class WeighJob(ChainSlice):
    """Bytes by T of gradients and inverters."""

    memory: InversionMemory
    inverters: dict[str, Inverter]
    released: dict[str, Any]  # the released code's settings of its gradient


def weigh(scope: Scope, dataset: str) -> WeighJob:
    """The slice behind one data set's memory of inversion. UserError: the config has none."""
    section: InversionMemory = scope.section[dataset]
    released = papers.preset(scope.paper, "inversion-released")
    return WeighJob(
        **chain_slice(scope, dataset),
        memory=section,
        inverters=resolved(scope, "inverters", section.inverters),
        released={key: value for key, value in released.items() if key not in ("gradient", "warm_start")},
    )


STAGES = (
    Stage(
        weigh,
        "bytes of gradients and inverters on {dataset}",
        {"records": "{dataset}.csv"},
        datasets_of,
        network_and_images_of,
    ),
)
