"""Samplers, one file a method: a module named after it with a function `sample(chain, *, on_round, ...) -> Sampled`.

After each round a sampler calls on_round(Round(...)) if it is given one, so that error against rounds needs no code of
its own. A module with EXACT = False holds a rival, which replaces the chain by a cheaper computation with another
result; one with REQUIRES = "package" needs an optional extra of that name. A new file here is a new method: name it
under `papers.deq-ddim.methods` in a config and it gets a row in every table.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

from deqbench.config import modules
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import OnRound, Sampled
from deqbench.errors import UserError, did_you_mean, unknown


def samplers() -> tuple[str, ...]:
    """Names of the samplers in this folder."""
    return modules("diffusion/samplers")


def sampler(name: str) -> Callable[..., Sampled]:
    """The function `sample` of a sampler. UserError: there is none of that name."""
    if name not in samplers():
        raise unknown("sampler", name, samplers())
    return importlib.import_module(f"deqbench.diffusion.samplers.{name.replace('-', '_')}").sample


def exact(name: str) -> bool:
    """Whether a sampler run to the end gives the chain's own result. UserError: there is none of that name."""
    return getattr(inspect.getmodule(sampler(name)), "EXACT", True)


def missing(name: str) -> str | None:
    """The extra that a sampler needs and that is not installed, or None. UserError: there is none of that name."""
    extra = getattr(inspect.getmodule(sampler(name)), "REQUIRES", None)
    return extra if extra is not None and importlib.util.find_spec(extra) is None else None


def sample(name: str, chain: DDIMChain, options: dict[str, Any], on_round: OnRound | None = None) -> Sampled:
    """What the named sampler makes of a chain.

    UserError: unknown sampler, an option it does not know or take, or an extra that it needs and that is not installed.
    """
    function = sampler(name)
    if extra := missing(name):
        raise UserError(
            f"sampler {name}: expected the package {extra}; found none (install it: pip install 'deqbench[{extra}]')"
        )
    parameters = inspect.signature(function).parameters
    known = [p for p in parameters if p not in ("chain", "on_round", "solver_options")]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in known and not open_ended:
            near = did_you_mean(option, known)
            raise UserError(
                f"sampler {name}: unknown option '{option}'; expected one of {', '.join(known) or 'none'}{near}"
            )
    try:
        return function(chain, on_round=on_round, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"sampler {name}: {error}") from error
