"""The same as `deqbench.strict`, for the sections of the config."""

from deqbench.strict import Eta, Name, One, Steps, Strict

__all__ = ["Eta", "Name", "One", "Steps", "Strict"]
