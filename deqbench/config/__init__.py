"""The config as types. Read once at the edge; unknown keys are refused; errors name file, key and what was expected."""

from deqbench.config.named import presets
from deqbench.config.reading import load, parse_job, parse_recipe, recipes, validate
from deqbench.config.recipes import (
    AnyRecipe,
    AutoencoderRecipe,
    ClassifierRecipe,
    DiffusionRecipe,
    LatentRecipe,
    OneStepRecipe,
)
from deqbench.config.sampling import Figure1, Latents, Method, Scores, Times, Trace
from deqbench.config.sections import Checkpoint, Config, Dataset, DeqDdim, Limits, Papers, Source
from deqbench.config.strict import Strict

__all__ = [
    "AnyRecipe",
    "AutoencoderRecipe",
    "Checkpoint",
    "ClassifierRecipe",
    "Config",
    "Dataset",
    "DeqDdim",
    "DiffusionRecipe",
    "Figure1",
    "LatentRecipe",
    "Latents",
    "Limits",
    "Method",
    "OneStepRecipe",
    "Papers",
    "Scores",
    "Source",
    "Strict",
    "Times",
    "Trace",
    "load",
    "parse_job",
    "parse_recipe",
    "presets",
    "recipes",
    "validate",
]
