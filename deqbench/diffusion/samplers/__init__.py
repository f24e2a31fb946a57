"""Samplers, one file a method: a module named after it with a generator `sample(chain, *, ...)` that yields its rounds.

After each round it yields Round(...): which images took part, what they would be now, and what the round cost. Counts,
callbacks, limits and the reasons why images stopped are the driver's (deqbench.solvers.rounds). See sequential.py for
the simplest one. A module with EXACT = False holds a rival, which replaces the chain by a cheaper computation with
another result; one with REQUIRES = "package" needs an optional extra of that name. A new file here is a new method:
name it under `papers.deq-ddim.methods` in a config and it gets a row in every table.
"""

from typing import Any

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Sampled, sampled
from deqbench.registry import Registry

REGISTRY = Registry("sampler", "sample", "diffusion/samplers")

samplers = REGISTRY.names
sampler = REGISTRY.named
missing = REGISTRY.missing


def exact(name: str) -> bool:
    """Whether a sampler run to the end gives the chain's own result. UserError: there is none of that name."""
    return REGISTRY.about(name, "EXACT", True)


def sample(name: str, chain: DDIMChain, options: dict[str, Any], on_round: OnRound | None = None) -> Sampled:
    """What the named sampler makes of a chain. on_round is called after each round; True from it ends the run.

    UserError: unknown sampler, an option it does not know or take, or an extra that it needs and that is not installed.
    """
    return sampled(chain, REGISTRY.call(name, options, chain), on_round)
