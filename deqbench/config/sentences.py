"""The same as `deqbench.sentences`, for the sections of the config."""

from deqbench.sentences import checked, sentence

__all__ = ["checked", "sentence"]
