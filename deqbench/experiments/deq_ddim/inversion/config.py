"""Inversions, as a section of the config: which methods look for the latents of which images, how long."""

from collections.abc import Container, Iterator
from typing import Annotated

from pydantic import Field, model_validator

from deqbench.config.strict import Count, Eta, Name, One, Steps, Strict
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

Rate = Annotated[float, Field(gt=0)]
Rates = Annotated[list[Rate], One, Field(min_length=1)]


class Limit(Strict):
    """One method's own rates and updates, in the place of the others'."""

    rates: Rates | None = Field(None, description="learning rates tried")
    epochs: Steps | None = Field(None, description="updates; one number, or one an eta")


class Chains(Strict):
    """The inversions of one data set at one T."""

    images: Count = Field(description="test images inverted")
    tuning: int = Field(0, ge=0, description="images of the tuning split that the rates are chosen on")
    epochs: Steps = Field(description="updates of a descent, with no early stop; one number, or one an eta")
    inverters: list[Name] | None = Field(None, min_length=1, description="of the experiment's methods, those run here")
    limits: dict[Name, Limit] = Field({}, description="by method")
    batch: Count | None = Field(None, description="pairs of image and rate at a time; none: limits.max_batch")
    all_rates: bool = Field(False, description="test images at every rate; otherwise at the chosen and the paper's")
    record_every: int = Field(5, ge=1, description="every which update is evaluated again, after the first twelve")
    longer: int | None = Field(None, ge=1, description="steps that the baseline's latents are sampled with once more")
    shown: int = Field(0, ge=0, description="test images whose reconstructions are kept")
    updates: list[Annotated[int, Field(ge=0)]] = Field([], description="updates of the first image that are shown")
    timed: int = Field(0, ge=0, description="images that an update of each descent is timed on, one at a time")
    timed_epochs: int = Field(2, ge=1, description="timed updates of each, after one to warm up")
    raced: int | None = Field(None, ge=1, description="images timed whole by methods without updates; none: `timed`")


class Inversion(Strict):
    """Latents of test images by several methods, at each one's best rate. Source: DEQ-DDIM, table 3."""

    inverters: list[Name] = Field(min_length=1, description="methods, the baseline among them")
    baseline: Name = Field("algorithm-1", description="the method that the others are compared with")
    baseline_encoded: Name | None = Field(None, description="its like for methods that start at the encoding")
    rates: Rates = Field(description="learning rates tried by every descent")
    paper_rate: Rate = Field(0.01, description="where methods are compared at the same rate, if they tried it")
    eta: list[Eta] = Field([], description="chains inverted at each; none: at 0")
    datasets: dict[Name, dict[Count, Chains]] = Field(min_length=1, description="by data set and T")

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Inversion":
        for dataset, chains in self.datasets.items():
            for T, share in chains.items():
                place = f"{dataset} at T {T}"
                for key in ("shown", "timed", "raced"):
                    if (count := getattr(share, key) or 0) > share.images:
                        raise ValueError(f"expected {key} of {place} to be at most {share.images}; found {count}")
                for epochs in (share.epochs, *(limit.epochs or [1] for limit in share.limits.values())):
                    if len(epochs) not in {1, len(self.eta)}:
                        raise ValueError(f"expected epochs of {place} to be one number, or one an eta; found {epochs}")
        return self

    def named(self, dataset: str, T: int) -> list[str]:
        """The methods that run on a data set at a T."""
        return self.datasets[dataset][T].inverters or self.inverters

    def at(self, dataset: str, T: int, method: str) -> tuple[list[float], list[int]]:
        """The rates of a method, and its epochs by eta."""
        share = self.datasets[dataset][T]
        limit = share.limits.get(method, Limit())  # type: ignore[call-arg]
        epochs = limit.epochs or share.epochs
        return limit.rates or self.rates, epochs * (max(1, len(self.eta)) if len(epochs) == 1 else 1)


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a name that is not there, or rates without images to choose on."""
    section: Inversion = scope.section
    for place, name, names in _names(section, scope.shared.inverters, scope.config.datasets):
        one_of(f"{scope.key}.{place}", name, names)
    for dataset, shares in section.datasets.items():
        for T, share in shares.items():
            for method in section.named(dataset, T):
                rates, _ = section.at(dataset, T, method)
                if scope.shared.inverters[method].descends and len(rates) > 1 and not share.tuning:
                    key = f"{scope.key}.datasets.{dataset}.{T}.tuning"
                    raise ValueError(f"@{key}@expected images to choose among {len(rates)} rates on; found 0")


def _names(
    section: Inversion, inverters: Container[str], datasets: Container[str]
) -> Iterator[tuple[str, str, Container[str]]]:
    """Key, name told and names known of everything that a section refers to."""
    yield from (("inverters", method, inverters) for method in section.inverters)
    for dataset, chains in section.datasets.items():
        yield "datasets", dataset, datasets
        for T, share in chains.items():
            key, run = f"datasets.{dataset}.{T}", section.named(dataset, T)
            yield from ((f"{key}.inverters", method, section.inverters) for method in run)
            yield from ((f"{key}.limits", method, run) for method in share.limits)
            yield "baseline", section.baseline, run
    if section.baseline_encoded:
        yield "baseline_encoded", section.baseline_encoded, section.inverters


SECTIONS = {"": Section(Inversion, check)}
