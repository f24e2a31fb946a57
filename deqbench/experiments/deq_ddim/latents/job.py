"""A job a data set: the states of one image's chains after some rounds of each solve."""

from deqbench.config.strict import Strict
from deqbench.experiments.deq_ddim.latents.config import Latents, Shown
from deqbench.experiments.deq_ddim.shared import ChainSlice, Method, chain_slice, datasets_of, network_of, resolved
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class Solved(Strict):
    """A joint solve cut after some rounds."""

    name: str
    method: Method
    rounds: int


class SolveJob(ChainSlice):
    """The states of some chains after some rounds of each solve."""

    solves: list[Solved]
    chains: list[Shown]


def solve(scope: Scope, dataset: str) -> SolveJob:
    """The slice behind one data set's latents."""
    section: Latents = scope.section
    solves = [section, *section.also]
    methods = resolved(scope, "methods", (each.method for each in solves))
    told = [Solved(name=each.method, method=methods[each.method], rounds=each.rounds) for each in solves]
    return SolveJob(**chain_slice(scope, dataset), solves=told, chains=section.datasets[dataset])


STAGES = (Stage(solve, "latents on {dataset}", {"latents": "{dataset}.safetensors"}, datasets_of, network_of),)
