"""Samplers, one file a method: a module named after it with a generator `sample(chain, *, ...)` that yields its rounds.

After each round it yields Round(...): which images took part, what they would be now, and what the round cost. Counts,
callbacks, limits and the reasons why images stopped are the driver's (deqbench.solvers.rounds). See sequential.py for
the simplest one. What a sampler needs and what it cannot do of `ASKS` its module says with the reason: see
deqbench.registry. A new file here is a new method: name it under `papers.deq-ddim.methods` in a config and it gets a
row in every table.
"""

from typing import Any

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Sampled, sampled
from deqbench.registry import Family

EXACT = "result of the chain itself"


def _off_stride(chain: DDIMChain) -> bool:
    """Whether timesteps are other than all multiples of one stride."""
    stride = int(chain.timesteps[0]) // max(chain.steps - 1, 1) or 1
    return chain.timesteps.tolist() != [stride * j for j in reversed(range(chain.steps))]


ASKS = {"eta > 0": lambda chain: chain.noise is not None, "grid other than uniform-released": _off_stride}
FAMILY = Family("sampler", "sample", "diffusion/samplers", hands={"solver": "solvers"}, asks=ASKS)
samplers = FAMILY.names


def exact(name: str) -> bool:
    """Whether a sampler run to the end gives the chain's own result. UserError: there is none of that name."""
    return EXACT not in FAMILY.method(name).card.cannot


def sample(name: str, chain: DDIMChain, options: dict[str, Any], on_round: OnRound | None = None) -> Sampled:
    """The images that the named sampler makes of a chain. on_round is called after each round; True ends the run.

    UserError: unknown sampler, an option it does not know or take, or what it needs and lacks, or cannot do.
    """
    return sampled(chain, FAMILY.call(name, options, chain), on_round)
