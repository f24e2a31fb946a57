"""A job a data set."""

from deqbench.experiments.deq_ddim.gradients.config import Gradients
from deqbench.experiments.deq_ddim.shared import ChainSlice, chain_slice, datasets_of, network_and_images_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class CompareJob(ChainSlice):
    """Gradients of the inversion loss beside the exact one."""

    gradients: Gradients


def compare(scope: Scope, dataset: str) -> CompareJob:
    """The slice behind one data set's gradients. UserError: the config has none."""
    section: Gradients = scope.section[dataset]
    return CompareJob(**chain_slice(scope, dataset), gradients=section)


STAGES = (
    Stage(
        compare,
        "every gradient beside the exact one on {dataset}",
        {"records": "{dataset}.csv"},
        datasets_of,
        network_and_images_of,
    ),
)
