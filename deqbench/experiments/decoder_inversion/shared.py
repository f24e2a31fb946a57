"""The parts of the paper's config that its experiments refer to: what is inverted, and the ways to invert it."""

from collections.abc import Container, Iterable
from typing import Any, Literal

from pydantic import Field, model_validator

from deqbench import papers
from deqbench.config.strict import Name, Strict
from deqbench.decoder_inversion import Precision, at_once
from deqbench.experiments.named import one_of, options_fit
from deqbench.experiments.scope import Scope, Slice

ORACLE = "oracle"  # the row that is given the true latents


class Model(Strict):
    """An autoencoder, and where the latents come from whose images are inverted."""

    autoencoder: Name = Field(description="a network of the config, in diffusers' format")
    targets: Literal["diffusion", "one-step", "codes"] = Field(
        description="latents of a guided DDIM chain, of a one-step generator, or codes of test images"
    )
    denoiser: Name | None = Field(None, description="the network that makes the latents; none for codes")
    guidance: float = Field(1.0, ge=0, description="classifier-free guidance scale")
    steps: int = Field(50, ge=1, le=1000, description="DDIM steps")
    images: Literal["patches", "digits", "tissue", "cifar10", "folder"] = Field(
        "patches", description="data set whose images are encoded, for codes"
    )
    options: dict[str, str | int] = Field({}, description="options of that data set, such as root")
    noise: float = Field(0.0, ge=0, description="standard deviation of normal noise added to codes")
    frames: int = Field(1, ge=1, description="frames of one video: latents along a path between two x_T")
    quantised: bool = Field(True, description="images cut and rounded to 8 bit before they are inverted")
    tuning: int = Field(8, ge=1, description="targets that settings are chosen on")
    test: int = Field(24, ge=2, description="targets that results are reported on")
    stands_in_for: str | None = Field(None, description="the printed model that this one stands in for")
    printed_as: str | None = Field(None, description="the printed model that this one is")

    @model_validator(mode="after")
    def _fits(self) -> "Model":
        if (self.denoiser is None) != (self.targets == "codes"):
            raise ValueError(f"expected a denoiser with targets other than codes, and only then; found {self.denoiser}")
        return self


class Inverter(Strict):
    """A way to invert the decoder, with its settings."""

    inverter: str = Field(description="a module of deqbench.decoder_inversion.inverters, or package.module:function")
    preset: Name | None = Field(None, description="named settings of the paper or of its released code")
    precision: Precision = Field("fp32", description="of the network")
    state: Precision = Field("fp32", description="of the latents and of the optimiser's state")
    released: bool = Field(False, description="E draws from its posterior, and the network is copied at every call")
    options: dict[str, Any] = Field({}, description="settings of the inverter, over those of the preset")
    rates: list[float] = Field([], description="values of `rate` tried on tuning targets; none: the options' own")
    rate: str = Field("lr", description="the option that `rates` are values of")


class NoiseInversion(Strict):
    """A way from z_0 to x_T."""

    iterations: int = Field(1, ge=1, description="of each step's equation; 1 is naive DDIM inversion")
    damping: float = Field(1.0, gt=0, le=1, description="share of each iteration's move that is made")
    tol: float = Field(1e-6, ge=0, description="relative residual below which a step is solved")
    guided: bool = Field(True, description="with the class and the guidance that made the latents, else without both")
    images: int | None = Field(None, ge=2, description="only so many images; none: all")

    @property
    def options(self) -> dict[str, Any]:
        """The settings of deqbench.decoder_inversion.noise_inversion.recovered."""
        return self.model_dump(exclude={"images"})


SHARED: dict[str, Any] = {
    "models": (dict[Name, Model], Field({}, description="by name; the data sets of this paper's records")),
    "inverters": (dict[Name, Inverter], Field({}, description="by name")),
}
SUBJECTS = ("models",)  # parts of these that records name as their data sets


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a network, inverter, preset or option that is not there."""
    for name, model in scope.shared.models.items():
        for part, network in (("autoencoder", model.autoencoder), ("denoiser", model.denoiser)):
            if network is not None:
                one_of(f"papers.{scope.paper}.models.{name}.{part}", network, scope.config.networks)
    for name, inverter in scope.shared.inverters.items():
        presets = papers.presets(scope.paper)
        options = inverter.options | ({inverter.rate: inverter.rates[0]} if inverter.rates else {})
        key = f"papers.{scope.paper}.inverters.{name}"
        options_fit(key, "decoder_inversion/inverters", inverter.inverter, inverter.preset, options, presets)


def known(scope: Scope, key: str, names: Iterable[str], among: Container[str]) -> None:
    """ValueError, as one sentence with its key below the section, for the first of the names that is not there."""
    for name in names:
        one_of(f"{scope.key}.{key}", name, among)


def resolved(scope: Scope, names: Iterable[str]) -> dict[str, Inverter]:
    """The inverters of those names, their options those of the preset and their own over them."""
    by_name = {}
    for name in dict.fromkeys(names):
        inverter = scope.shared.inverters[name]
        preset = papers.preset(scope.paper, inverter.preset) if inverter.preset else {}
        by_name[name] = inverter.model_copy(update={"preset": None, "options": {**preset, **inverter.options}})
    return by_name


class DecoderSlice(Slice):
    """The slice of a job on autoencoders."""

    @property
    def pictures(self) -> int:
        """Images in one call of the autoencoder."""
        return at_once(self.device, self.max_batch)


class ModelSlice(DecoderSlice):
    """The slice of a job on one model."""

    dataset: str  # the model's name
    model: Model


def model_slice(scope: Scope, dataset: str) -> dict[str, Any]:
    """The fields of `ModelSlice` for a model."""
    return {**scope.slice, "dataset": dataset, "model": scope.shared.models[dataset]}


def models_of(scope: Scope) -> list[dict[str, Any]]:
    """A place a model of the section."""
    return [{"dataset": model} for model in scope.section.models]


def networks_of(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    """The autoencoder of a model and, unless its targets are codes, the network that makes its latents."""
    model = scope.shared.models[dataset]
    return {"autoencoder": scope.networks([model.autoencoder]), "denoiser": scope.networks([model.denoiser])}


def autoencoder_of(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    """The autoencoder of a model."""
    return {"autoencoder": scope.networks([scope.shared.models[dataset].autoencoder])}


def autoencoder_and_targets_of(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    """The autoencoder of a model and the images to invert."""
    return {**autoencoder_of(scope, dataset), "targets": targets_of(scope, [dataset])}


def targets_of(scope: Scope, models: Iterable[str]) -> list[str]:
    """The files of the images to invert of some models."""
    return [f"{scope.folder}/targets/{model}.safetensors" for model in models]
