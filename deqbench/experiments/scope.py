"""One experiment of one paper at one scale: its sections of the config and the paths of its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deqbench.config.strict import Strict
from deqbench.errors import UserError

if TYPE_CHECKING:
    from deqbench.scale import Config


class Slice(Strict):
    """The beginning of every job's slice of the config: of which experiment it is, and with which limits."""

    paper: str
    experiment: str
    seed: int
    device: str
    max_batch: int


@dataclass(frozen=True)
class Scope:
    """An experiment in its config; made for every experiment whose section a scale has."""

    config: Config
    paper: str
    experiment: str

    @property
    def key(self) -> str:
        """The config key of the experiment's section."""
        return f"papers.{self.paper}.{self.experiment}"

    @property
    def shared(self) -> Any:
        """The paper's section, with the parts that its experiments share, such as `methods`."""
        return self.config.papers.of(self.paper)

    @property
    def section(self) -> Any:
        """The experiment's section. UserError: this scale has none."""
        section = self.shared.experiment(self.experiment) if self.shared else None
        if section is None:
            raise UserError(f"{self.key}: expected a section; found none")
        return section

    def part(self, name: str, key: str) -> Any:
        """The entry of a mapping of the section, such as a model's share. UserError: it has none of that name."""
        entries = getattr(self.section, name)
        if key not in entries:
            raise UserError(f"{self.key}.{name}: expected '{key}'; found {', '.join(map(str, entries)) or 'nothing'}")
        return entries[key]

    @property
    def slice(self) -> dict[str, Any]:
        """The fields of `Slice`."""
        return {
            "paper": self.paper,
            "experiment": self.experiment,
            "seed": self.config.seed,
            "device": self.config.limits.device,
            "max_batch": self.config.limits.max_batch,
        }

    @property
    def results(self) -> str:
        """The folder of the scale's results."""
        return f"results/{self.config.scale}"

    @property
    def folder(self) -> str:
        """The folder of the paper's records; of no paper, all results'."""
        return f"{self.results}/{self.paper}".removesuffix("/")

    @property
    def own(self) -> str:
        """The folder of the experiment's own records."""
        return f"{self.folder}/{self.experiment}".removesuffix("/")

    def checkpoints(self, names: Iterable[str]) -> list[str]:
        """The checkpoints of those of the names that are data sets."""
        return [f"{self.results}/checkpoints/{name}" for name in names if name in self.config.datasets]

    def datasets(self, names: Iterable[str]) -> list[str]:
        """The files of those of the names that are data sets."""
        return [f"{self.results}/datasets/{name}.safetensors" for name in names if name in self.config.datasets]

    def networks(self, names: Iterable[str | None]) -> list[str]:
        """The folders of networks, each once; None: no network."""
        return [f"{self.results}/networks/{name}" for name in dict.fromkeys(names) if name is not None]
