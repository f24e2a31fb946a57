"""Benchmarks and reproductions of deep-equilibrium methods in generative modelling."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "DEQ",
    "DEQDDIMPipeline",
    "DecoderInversionResult",
    "NotConverged",
    "__version__",
    "fixed_point",
    "invert_decoder",
    "score_matching_loss",
]
_OF_SOLVERS = {"DEQ": "deq", "NotConverged": "resolvent", "fixed_point": "implicit"}


def __getattr__(name: str) -> Any:
    """Public names that need torch or diffusers, imported when they are first asked for."""
    if name in _OF_SOLVERS:
        return getattr(import_module(f"deqbench.solvers.{_OF_SOLVERS[name]}"), name)
    if name == "DEQDDIMPipeline":
        from deqbench.diffusion.pipeline import DEQDDIMPipeline

        return DEQDDIMPipeline
    if name in ("invert_decoder", "DecoderInversionResult"):
        from deqbench.decoder_inversion import public

        return getattr(public, name)
    if name == "score_matching_loss":
        from deqbench.score_matching.losses import score_matching_loss

        return score_matching_loss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
