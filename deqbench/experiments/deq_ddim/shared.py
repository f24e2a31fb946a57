"""The parts of the paper's config that its experiments refer to: samplers and inverters by name."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from deqbench import papers
from deqbench.config.strict import Count, Eta, Name, Strict
from deqbench.experiments.named import able, options_fit
from deqbench.experiments.scope import Scope, Slice

DESCENT = "descent"  # the inverter whose rate is chosen and whose updates are counted
OWN = {"lr": "rates", "epochs": "epochs"}  # options that an experiment sets, and its keys for them
ANALYTIC_GRID = "uniform-released"  # of chains without a data set


class Method(Strict):
    """A sampler and its settings, and the chain that it walks or solves."""

    sampler: str = Field(description="a module of deqbench.diffusion.samplers, or module:function")
    preset: Name | None = Field(None, description="named settings of the paper: paper, released")
    eta: Eta = Field(0.0, description="0 is DDIM, 1 is DDPM")
    variance: Literal["posterior", "large"] = Field("posterior", description="the noise's variance at eta 1")
    options: dict[str, Any] = Field({}, description="settings of the sampler, over those of the preset")


class Inverter(Strict):
    """A way to find x_T, its settings and where it starts."""

    inverter: str = Field(description="a module of deqbench.diffusion.inverters, or module:function")
    preset: Name | None = Field(None, description="named settings of the paper: inversion-paper, inversion-released")
    start: Literal["noise", "encoding"] = Field("noise", description="x_T ~ N(0, I), or the target's DDIM encoding")
    options: dict[str, Any] = Field({}, description="settings of the inverter, over those of the preset")

    @property
    def descends(self) -> bool:
        """Whether it takes a learning rate and a number of updates."""
        return self.inverter == DESCENT

    @property
    def encoded(self) -> bool:
        """Whether it starts at the target's DDIM encoding, by this section or by an option of its own."""
        return "encoding" in (self.start, self.options.get("first"))


SHARED: dict[str, Any] = {
    "baseline": (Name, Field("ddim", description="the method that others are compared with")),
    "methods": (dict[Name, Method], Field({}, description="samplers by name")),
    "inverters": (dict[Name, Inverter], Field({}, description="inverters by name")),
}
SUBJECTS: tuple[str, ...] = ()  # parts of these that records name as their data sets


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a method, preset or option that is not there."""
    presets = papers.presets(scope.paper)
    for name, method in scope.shared.methods.items():
        key = f"papers.{scope.paper}.methods.{name}"
        options_fit(key, "diffusion/samplers", method.sampler, method.preset, method.options, presets)
        if method.eta:
            able(f"{key}.eta", "diffusion/samplers", method.sampler, "eta > 0")
    for name, inverter in scope.shared.inverters.items():
        key = f"papers.{scope.paper}.inverters.{name}"
        for option, instead in OWN.items():
            if inverter.descends and option in inverter.options:
                raise ValueError(f"@{key}.options.{option}@expected it as {instead} of an experiment; found it here")
        options_fit(key, "diffusion/inverters", inverter.inverter, inverter.preset, inverter.options, presets)


def resolved(scope: Scope, part: str, names: Iterable[str]) -> dict[str, Any]:
    """The methods or inverters (part) of those names, their options those of the preset and their own over them."""
    known, found = getattr(scope.shared, part), {}
    for name in dict.fromkeys(names):
        preset = papers.preset(scope.paper, known[name].preset) if known[name].preset else {}
        found[name] = known[name].model_copy(update={"preset": None, "options": {**preset, **known[name].options}})
    return found


class ChainSlice(Slice):
    """What a job on the chains of one data set is told."""

    dataset: str
    grid: str


def chain_slice(scope: Scope, dataset: str) -> dict[str, Any]:
    """The fields of `ChainSlice` for a data set, or an analytic problem of that name."""
    return {**scope.slice, "dataset": dataset, "grid": grid(scope, dataset)}


def grid(scope: Scope, dataset: str) -> str:
    """How the timesteps of a data set's chains, or an analytic problem's, are chosen."""
    return scope.config.datasets[dataset].grid if dataset in scope.config.datasets else ANALYTIC_GRID


def datasets_of(scope: Scope) -> list[dict[str, Any]]:
    """A place a data set of the section, or of the mapping by data set that it is."""
    return [{"dataset": dataset} for dataset in getattr(scope.section, "datasets", scope.section)]


def network_of(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    """The checkpoint of a data set."""
    return {"weights": scope.checkpoints([dataset])}


def network_and_images_of(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    """The checkpoint and the images of a data set."""
    return {"weights": scope.checkpoints([dataset]), "dataset": scope.datasets([dataset])}


Images = dict[Count, Count]  # by T
