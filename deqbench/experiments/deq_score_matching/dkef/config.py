"""Kernel densities by loss and extractor, as a section of the config. Source: tables 2 and 3."""

from typing import Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.named import DatasetName
from deqbench.experiments.stage import Section
from deqbench.training.settings import Optimisation

LossKind = Literal["sm", "ssm", "ssm-vr", "dsm", "cp"]
Derivative = Literal["exact", "phantom"]
Family = Literal["explicit", "phantom", "exact"]
NORMAL = "normal"  # the row of a normal density fitted to train; nothing is trained


class Row(Strict):
    """A row of the tables: what is trained, and by which loss."""

    loss: LossKind = "sm"
    layers: Count | None = Field(None, description="of a perceptron; none: an equilibrium block")
    derivative: Derivative = Field("exact", description="of the equilibrium block, in training")
    sigma: float = Field(0.1, gt=0, description="standard deviation of the noise of dsm")

    @property
    def family(self) -> Family:
        """Which settings are tried for it."""
        return "explicit" if self.layers else self.derivative


class Setting(Strict):
    """What may be chosen for a row, by the exact loss on tuning data."""

    lr: float | None = Field(None, gt=0, description="learning rate [that of the optimisation]")
    weight_decay: float | None = Field(None, ge=0)
    width: Count | None = Field(None, description="hidden features [those of the model]")
    bound: float = Field(1.05, gt=1, description="lambda in the normalisation of an equilibrium block's weight")
    normalisation: Literal["frobenius", "operator"] = "frobenius"
    steps: Count = Field(2, description="K of a phantom derivative")


class Model(Strict):
    """What all rows of a data set have in common."""

    points: Count = Field(64, description="inducing points, started at training rows")
    width: Count = Field(30, description="hidden features")
    kernels: Count = 3
    skip: bool = Field(True, description="a linear map of x added to the features, as in sliced score matching's code")
    base_scale: float = Field(2.0, gt=0, description="standard deviation of the fixed base density N(0, s^2 I)")
    tol: float = Field(1e-6, gt=0, description="of the fixed points, relative")
    max_iter: Count = 128


class Preparation(Strict):
    """How rows are made ready, after columns are standardised, by what train alone tells."""

    dequantise: float = Field(0.0, ge=0, description="reach of uniform noise, in median gaps of each column in train")
    whiten: bool = Field(False, description="principal components, each with variance 1 in train")
    noise: float = Field(0.0, ge=0, description="standard deviation of normal noise added last")


class Likelihood(Strict):
    """How normalisers are estimated: by importance from three proposals, and by annealing."""

    draws: Count = Field(20000, description="of each proposal")
    narrow: float = Field(1.0, gt=0, description="deviations of a normal fitted to tuning rows, times this")
    wide: float = Field(1.3, gt=0, description="the same of another one, from which chains are annealed too")
    chains: int = Field(0, ge=0, description="annealed chains; 0: none")
    temperatures: Count = Field(100, description="of each chain")


class Data(Strict):
    """A data set, its splits, and how long and with which settings models are trained on it."""

    splits: list[int] = Field(min_length=1, description="numbers of splits of a table, or seeds of drawn rows")
    at_once: Count = Field(1, description="splits in one job")
    methods: list[Name] | None = Field(None, min_length=1, description="those of the section's rows [all]")
    model: Model = Model()
    preparation: Preparation = Preparation()
    optimisation: Optimisation
    tried: dict[Family, list[Setting]] = Field(
        {"explicit": [Setting()], "phantom": [Setting()], "exact": [Setting()]},
        description="settings tried on every split; that of the best exact loss on tuning data is taken",
    )
    trim: float = Field(
        0.02,
        ge=0,
        lt=0.5,
        description="share of tuning rows, those whose exact loss is farthest from the median, that choices leave out: "
        "a few far rows with losses of many thousands, of either sign, would decide alone",
    )
    likelihood: Likelihood = Likelihood()
    shipped: Name | None = Field(None, description="a zoo folder of trained models, in place of a training")

    @model_validator(mode="after")
    def _as_many_for_each(self) -> "Data":
        counts = {family: len(settings) for family, settings in self.tried.items()}
        if set(counts) != {"explicit", "phantom", "exact"} or len(set(counts.values())) != 1:
            words = ", ".join(f"{count} of {family}" for family, count in counts.items())
            raise ValueError(f"tried: expected as many settings of explicit, phantom and exact each; found {words}")
        return self


ROWS = {
    "dsm": Row(loss="dsm", layers=3),
    "cp": Row(loss="cp", layers=3),
    "ssm": Row(loss="ssm", layers=3),
    "ssm-vr": Row(loss="ssm-vr", layers=3),
    "deq-ssm-paper": Row(loss="ssm", derivative="phantom"),
    "deq-ssm": Row(loss="ssm"),
    "sm": Row(layers=3),
    "sm-8": Row(layers=8),
    "sm-16": Row(layers=16),
    "deq-sm-paper": Row(derivative="phantom"),
    "deq-sm": Row(),
}


class KernelDensities(Strict):
    """Models by row and data set."""

    rows: dict[Name, Row] = ROWS
    datasets: dict[DatasetName, Data]

    @model_validator(mode="after")
    def _rows_are_known(self) -> "KernelDensities":
        for name, data in self.datasets.items():
            for method in data.methods or ():
                if method not in self.rows:
                    known = ", ".join(self.rows)
                    raise ValueError(f"datasets.{name}.methods: expected some of {known}; found '{method}'")
        return self

    def methods(self, dataset: str) -> dict[str, Row]:
        """The rows of a data set."""
        return {name: self.rows[name] for name in self.datasets[dataset].methods or self.rows}


SECTIONS = {"": Section(KernelDensities)}
