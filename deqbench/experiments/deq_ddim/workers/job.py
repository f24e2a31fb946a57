"""A job a data set, which times."""

from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.deq_ddim.workers.config import Workers
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class TimeJob(ChainSlice):
    """Time against the number of workers."""

    method: Method
    workers: Workers


def time(scope: Scope, dataset: str) -> TimeJob:
    """The slice behind one data set's times by number of workers. UserError: the config has none."""
    section: Workers = scope.section[dataset]
    return TimeJob(
        **chain_slice(scope, dataset),
        method=resolved(scope, "methods", [section.method])[section.method],
        workers=section,
    )


STAGES = (Stage(time, "times on {dataset}", {"records": "{dataset}.csv"}, datasets_of, network_of, alone=True),)
