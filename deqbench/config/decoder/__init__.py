"""The sections of the decoder-inversion paper."""

from collections.abc import Container, Iterator
from typing import Any

from pydantic import Field

from deqbench.config.decoder.models import DecoderInverter, Model
from deqbench.config.decoder.studies import Cocoercivity, CodecMemory, Frames, HalfPrecision, Theorems
from deqbench.config.decoder.sweep import Sweep
from deqbench.config.decoder.watermark import Editing, Watermark
from deqbench.config.named import one_of, options_fit
from deqbench.config.strict import Name, Strict

PAPER = "decoder-inversion"
FOLDER = "decoder_inversion/inverters"

__all__ = ["DecoderInversion", "DecoderInverter", "Model"]


class DecoderInversion(Strict):
    """Experiments of the decoder-inversion paper."""

    models: dict[Name, Model] = Field({}, description="by name; the data sets of this paper's records")
    inverters: dict[Name, DecoderInverter] = Field({}, description="by name")
    sweep: Sweep | None = None
    cocoercivity: Cocoercivity | None = None
    theorems: Theorems | None = None
    memory: CodecMemory | None = None
    precision: HalfPrecision | None = None
    frames: Frames | None = None
    watermark: Watermark | None = None
    editing: Editing | None = None

    def experiment(self, name: str) -> Any:
        """The section of that name, such as sweep; None where this scale has none."""
        return getattr(self, name.replace("-", "_"), None)

    def sections(self, *names: str) -> dict[str, Any]:
        """Those of the experiments named that this scale has."""
        return {name: section for name in names if (section := self.experiment(name)) is not None}

    def check(self, networks: Container[str]) -> None:
        """ValueError, as one sentence with its key, for the first thing that is named and is not there."""
        for key, found, known in self._names(networks):
            one_of(f"papers.{PAPER}.{key}", found, known)
        for name, inverter in self.inverters.items():
            options = inverter.options | ({inverter.rate: inverter.rates[0]} if inverter.rates else {})
            options_fit(f"papers.{PAPER}.inverters.{name}", FOLDER, inverter.inverter, inverter.preset, options)

    def _names(self, networks: Container[str]) -> Iterator[tuple[str, str, Container[str]]]:
        """Key, name found and names known of everything that a section refers to."""
        for name, model in self.models.items():
            for key, found in (("autoencoder", model.autoencoder), ("denoiser", model.denoiser)):
                if found is not None:
                    yield f"models.{name}.{key}", found, networks
        for name in ("sweep", "cocoercivity", "theorems", "memory", "precision", "frames", "watermark", "editing"):
            if (section := self.experiment(name)) is not None and hasattr(section, "names"):
                yield from ((f"{name}.{key}", *rest) for key, *rest in section.names(self.models, self.inverters))
