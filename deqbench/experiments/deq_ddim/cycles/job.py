"""A job a data set."""

from deqbench.experiments.deq_ddim.cycles.config import Cycles
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class SolveJob(ChainSlice):
    """Long joint solves."""

    methods: dict[str, Method]
    cycles: Cycles


def solve(scope: Scope, dataset: str) -> SolveJob:
    """The slice behind one data set's long solves. UserError: the config has none."""
    section: Cycles = scope.section[dataset]
    return SolveJob(**chain_slice(scope, dataset), methods=resolved(scope, "methods", section.methods), cycles=section)


STAGES = (Stage(solve, "long solves on {dataset}", {"records": "{dataset}.csv"}, datasets_of, network_of),)
