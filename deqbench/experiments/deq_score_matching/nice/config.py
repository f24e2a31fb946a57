"""Flows of images trained by several objectives, as a section of the config. Source: section 4.3, table 4."""

from typing import Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Count, Name, Strict
from deqbench.data.sources import Share
from deqbench.experiments.named import DatasetName
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation

Split = Literal["train", "tuning", "test"]


class Method(Strict):
    """A way to train a flow."""

    kind: Literal["mle", "sm", "ssm", "ssm-vr", "dsm", "cp", "approx-bp", "fdssm"] = Field(description="of loss")
    sigma: float | None = Field(None, gt=0, description="of dsm: noise added to the logits")
    couplings: Literal["explicit", "implicit"] = Field(
        "explicit", description="networks of layers, or with a DEQ layer"
    )
    derivative: Literal["exact", "phantom"] = Field("exact", description="of the DEQ layer in training")
    steps: int = Field(2, ge=1, description="of the phantom derivative")

    @model_validator(mode="after")
    def _sigma_of_dsm(self) -> "Method":
        if (self.kind == "dsm") != (self.sigma is not None):
            raise ValueError(f"sigma: expected {'a number' if self.kind == 'dsm' else 'none'} beside {self.kind}")
        return self


TABLE_4 = {
    "mle": Method(kind="mle"),
    "cp": Method(kind="cp"),
    "dsm-low": Method(kind="dsm", sigma=0.1),
    "dsm-high": Method(kind="dsm", sigma=1.74),
    "approx-bp": Method(kind="approx-bp"),
    "ssm": Method(kind="ssm"),
    "deq-ssm": Method(kind="ssm", couplings="implicit", derivative="phantom"),
    "deq-ssm-exact": Method(kind="ssm", couplings="implicit"),
}


class Flow(Strict):
    """The flow NICE of either kind of coupling."""

    blocks: Count = Field(4, description="couplings")
    layers: Count = Field(5, description="of an explicit coupling's network; all but the last are wide")
    width: Count = 1000
    prior: Literal["logistic", "normal"] = "logistic"
    normalisation: Literal["frobenius", "operator", "none"] = Field(
        "frobenius", description="of the DEQ layer's weight"
    )
    bound: float = Field(1.05, gt=1, description="the paper's lambda")
    tol: float = Field(1e-6, gt=0, description="relative residual of a sample at which Picard's iteration stops")
    max_iter: Count = 128


class Logits(Strict):
    """Images as logits, dealt to three parts anew for each split."""

    pool: list[Split] = Field(
        ["train", "tuning", "test"], min_length=1, description="splits of the data set dealt anew"
    )
    levels: int = Field(256, ge=2, description="of a pixel")
    edge: float = Field(0.01, gt=0, lt=0.5, description="how far the logit's argument keeps from 0 and 1")
    tuning: Share = Field(0.2, description="share of the images")
    test: Share = Field(0.1, description="share of the images")


class Nice(Strict):
    """Flows on one data set, one a method, split and learning rate; of the rates the best on the tuning part counts."""

    dataset: DatasetName
    splits: list[int] = Field(min_length=1, description="each another deal of the images, other weights, other draws")
    images: Logits = Logits()
    flow: Flow = Flow()
    optimisation: Optimisation = Field(description="its seed is the split, its rate one of those tried")
    rates: list[float] = Field(min_length=1, description="learning rates that every method tries")
    watched: Count = Field(100, description="images of the tuning part on which weights and rates are chosen")
    methods: dict[Name, Method] = Field(TABLE_4, description="rows of the table, in the place of the paper's")
    also: dict[Name, Method] = Field({}, description="further rows")
    timed: Count = Field(5, description="turns in which a training step of every method is timed")

    @model_validator(mode="after")
    def _is_watched(self) -> "Nice":
        if self.optimisation.validate_every is None:
            raise ValueError("optimisation.validate_every: expected a number of updates; found none")
        return self

    @property
    def rows(self) -> dict[str, Method]:
        """All ways to train."""
        return {**self.methods, **self.also}


SECTIONS = {"": Section(Nice)}
