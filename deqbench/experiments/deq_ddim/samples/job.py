"""A job a data set: one image at every eta."""

from deqbench.experiments.deq_ddim.samples.config import Samples
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class SampleJob(ChainSlice):
    """Images from one x_T at several eta."""

    method: Method
    name: str
    T: int
    eta: list[float]


def sample(scope: Scope, dataset: str) -> SampleJob:
    """The slice behind one data set's images."""
    section: Samples = scope.section
    return SampleJob(
        **chain_slice(scope, dataset),
        method=resolved(scope, "methods", [section.method])[section.method],
        name=section.method,
        T=section.datasets[dataset],
        eta=section.eta,
    )


STAGES = (
    Stage(sample, "samples at several eta on {dataset}", {"images": "{dataset}.safetensors"}, datasets_of, network_of),
)
