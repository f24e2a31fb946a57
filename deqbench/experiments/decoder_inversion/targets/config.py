"""Targets have no section: they follow from the paper's models."""

from deqbench.experiments.stage import Section

SECTIONS: dict[str, Section | None] = {"": None}
