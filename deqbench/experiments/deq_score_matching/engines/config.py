"""Ways to take a training step, as a section of the config."""

from typing import Literal

from pydantic import Field

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Problem(Strict):
    """A model at its first weights, a batch of normal rows, and a loss."""

    model: Literal["kernel", "convolution"]
    dimensions: int = Field(11, ge=1, description="of a kernel model's rows")
    side: int = Field(16, ge=1, description="of a convolutional model's square images")
    channels: int = Field(8, ge=1, description="of its state")
    kernel_size: int = Field(5, ge=1)
    batch: int = Field(64, ge=1)
    points: int = Field(64, ge=1, description="inducing points of a kernel model")
    width: int = Field(30, ge=1, description="of its features")

    @property
    def loss(self) -> Literal["sm", "ssm"]:
        """The loss that is looked at."""
        return "sm" if self.model == "kernel" else "ssm"


class Engines(Strict):
    """Seconds and bytes of a step: loss and gradients. Source: sections 3.3, 3.4, 4.2."""

    problems: dict[Name, Problem] = Field(min_length=1)
    repeats: int = Field(ge=2, description="steps of every way that are timed, in turns")
    deep: Name = Field(description="the kernel problem at which explicit extractors stand beside the DEQ")
    layers: list[Count] = Field([3, 8, 16], min_length=1, description="their depths")
    iterations: list[Count] = Field(
        [10, 100], min_length=2, description="of the forward solve, whose bytes are weighed"
    )
    threads: int = Field(1, ge=1, description="of a timed step")


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, where the deep problem is no kernel problem of the section."""
    section: Engines = scope.section
    one_of(
        f"{scope.key}.deep", section.deep, [n for n, problem in section.problems.items() if problem.model == "kernel"]
    )


SECTIONS = {"": Section(Engines, check)}
