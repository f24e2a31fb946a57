"""Sampling experiments, as sections of the config: methods, and what tables and figures run them on."""

from typing import Annotated, Any, Literal

from pydantic import Field

from deqbench.config.strict import Eta, Name, One, Steps, Strict

# Experiments of one shape, which share rules and commands.
SCORED = ("table-1", "table-2", "table-4")
TRACED = ("figure-1", "figure-11")
LATENT = ("figure-2", "figure-10", "figure-18")
SAMPLED = ("figure-12", "figure-13")


class Method(Strict):
    """A sampler and its settings, and the chain that it walks or solves."""

    sampler: str = Field(description="a module of deqbench.diffusion.samplers, or package.module:function")
    preset: Name | None = Field(None, description="named settings of the paper: paper, released")
    eta: Eta = Field(0.0, description="0 is DDIM, 1 is DDPM")
    variance: Literal["posterior", "large"] = Field("posterior", description="the noise's variance at eta 1")
    options: dict[str, Any] = Field({}, description="settings of the sampler, over those of the preset")


class Scores(Strict):
    """Which chains are sampled for the scores of one data set."""

    T: Steps = Field(description="steps of the chain")
    images: int = Field(ge=40, description="images per method and T; intervals are jackknifed over 20 blocks of them")
    shards: int = Field(1, ge=1, description="jobs that share the images of one method")
    methods: list[Name] | None = Field(None, min_length=1, description="of the methods scored, those scored here")


class Times(Strict):
    """Which chains are timed for one data set, one image at a time."""

    T: Steps
    repeats: int = Field(ge=2, description="timed runs per method and T, interleaved, after a warm-up")
    longest_s: float = Field(10.0, gt=0, description="a method's repeats stop (at three or more) past it")


class Table1(Strict):
    """Scores and times of single-image sampling. Source: DEQ-DDIM, table 1."""

    methods: list[Name] = Field(min_length=1, description="methods scored, the baseline among them")
    baseline: Name = Field("ddim", description="the method that the others are compared with, pair by pair")
    timed: list[Name] = Field(min_length=1, description="methods timed")
    scores: dict[Name, Scores]
    times: dict[Name, Times]

    def scored(self, dataset: str) -> list[str]:
        """The methods whose images of a data set are scored."""
        return self.scores[dataset].methods or self.methods

    def drawn(self, dataset: str) -> dict[str, list[str]]:
        """The methods whose images of a data set one job draws, by that job's name.

        Without shards one job draws all of them: it starts once for many short chains.
        """
        names = self.scored(dataset)
        return {name: [name] for name in names} if self.scores[dataset].shards > 1 else {"every-method": names}

    def etas(self, dataset: str) -> list[float]:
        """The eta that every method is walked at; none: each at its own."""
        return []


class Table2(Table1):
    """The same of stochastic chains, at several eta. Source: DEQ-DDIM, tables 2 and 4."""

    eta: dict[Name, list[Eta]] = Field(
        description="by data set: methods are walked at each, those with an eta of their own at that only"
    )

    def etas(self, dataset: str) -> list[float]:
        """As in the config."""
        return self.eta[dataset]


class Also(Strict):
    """One more method, traced at its own T and for its own number of rounds."""

    runs: dict[int, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    rounds: int = Field(ge=1, description="solver steps recorded")


class Trace(Strict):
    """Chains whose joint solve is recorded round by round for one data set."""

    runs: dict[int, Annotated[int, Field(ge=2)]] = Field(min_length=1, description="images by T")
    also: dict[Name, Also] = Field({}, description="further methods, at some T only")


class Figure1(Strict):
    """The joint residual and the error of x0 over solver steps. Source: DEQ-DDIM, figures 1 and 11."""

    methods: list[Name] = Field(min_length=1)
    eta: list[Eta] = Field([], description="methods are traced at each; none: at their own")
    rounds: int = Field(ge=1, description="solver steps recorded")
    datasets: dict[Name, Trace]


class Latents(Strict):
    """A chain whose states are shown after some rounds."""

    T: int = Field(ge=10)
    every: int = Field(ge=1, description="every which state is shown, with x_0 to x_4")


class Solve(Strict):
    """A joint solve cut after some rounds."""

    method: Name
    rounds: int = Field(ge=1)


class Figure2(Solve):
    """States of the chain after a few solver steps. Source: DEQ-DDIM, figures 2, 10 and 18."""

    also: list[Solve] = Field([], description="further solves of the same chains, each in a row of its own")
    datasets: dict[Name, Annotated[list[Latents], One, Field(min_length=1)]]


class Figure12(Strict):
    """Images from one x_T at several eta. Source: DEQ-DDIM, figures 12 and 13."""

    method: Name
    eta: list[Eta] = Field(min_length=1)
    datasets: dict[Name, Annotated[int, Field(ge=1)]] = Field(description="T by data set")
