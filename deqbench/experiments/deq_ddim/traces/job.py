"""A job a data set: the joint solves of some methods, round by round."""

from deqbench.config.strict import Strict
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.deq_ddim.traces.config import Traces
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class Traced(Strict):
    """The joint solves of one method."""

    method: Method
    runs: dict[int, int]  # images by T
    rounds: int


class TraceJob(ChainSlice):
    """The joint solves of several chains."""

    methods: dict[str, Traced]
    eta: list[float]


def trace(scope: Scope, dataset: str) -> TraceJob:
    """The slice behind one data set's traces."""
    section: Traces = scope.section
    share = section.datasets[dataset]
    runs = dict.fromkeys(section.methods, (share.runs, section.rounds))
    runs |= {name: (also.runs, also.rounds) for name, also in share.also.items()}
    methods = {
        name: Traced(method=method, runs=runs[name][0], rounds=runs[name][1])
        for name, method in resolved(scope, "methods", runs).items()
    }
    return TraceJob(**chain_slice(scope, dataset), methods=methods, eta=section.eta)


STAGES = (
    Stage(
        trace,
        "traces on {dataset}",
        {"traces": "{dataset}.parquet", "summary": "{dataset}.csv"},
        datasets_of,
        network_of,
    ),
)
