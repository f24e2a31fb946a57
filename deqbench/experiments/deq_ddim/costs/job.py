"""A job a data set, which times."""

from deqbench.experiments.deq_ddim.costs.config import Costs
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class TimeJob(ChainSlice):
    """Times and memory by batch size; the sequential method first."""

    methods: dict[str, Method]
    costs: Costs


def time(scope: Scope, dataset: str) -> TimeJob:
    """The slice behind one data set's costs. UserError: the config has none."""
    section: Costs = scope.section[dataset]
    return TimeJob(**chain_slice(scope, dataset), methods=resolved(scope, "methods", section.methods), costs=section)


STAGES = (
    Stage(time, "times and memory on {dataset}", {"records": "{dataset}.csv"}, datasets_of, network_of, alone=True),
)
