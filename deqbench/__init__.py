"""Benchmarks and reproductions of deep-equilibrium methods in generative modelling."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["DEQ", "DEQDDIMPipeline", "DecoderInversionResult", "__version__", "fixed_point", "invert_decoder"]


def __getattr__(name: str) -> Any:
    """Public names that need torch or diffusers, imported when they are first asked for."""
    if name == "fixed_point":
        from deqbench.solvers.implicit import fixed_point

        return fixed_point
    if name == "DEQ":
        from deqbench.solvers.deq import DEQ

        return DEQ
    if name == "DEQDDIMPipeline":
        from deqbench.diffusion.pipeline import DEQDDIMPipeline

        return DEQDDIMPipeline
    if name in ("invert_decoder", "DecoderInversionResult"):
        from deqbench.decoder_inversion import public

        return getattr(public, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
