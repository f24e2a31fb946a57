"""A job that times all ways, alone on the machine, and one that weighs them."""

from deqbench.experiments.deq_score_matching.engines.config import Engines
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage


class EnginesJob(Slice):
    """All problems."""

    engines: Engines


def time(scope: Scope) -> EnginesJob:
    """The slice behind the seconds of a step."""
    return EnginesJob(**scope.slice, engines=scope.section)


def weigh(scope: Scope) -> EnginesJob:
    """The slice behind the bytes of a step."""
    return EnginesJob(**scope.slice, engines=scope.section)


STAGES = (
    Stage(time, "seconds of a step", {"times": "seconds.csv", "depths": "depth-seconds.csv"}, alone=True),
    Stage(weigh, "bytes of a step", {"bytes": "bytes.csv", "depths": "depth-bytes.csv", "solves": "solves.csv"}),
)
