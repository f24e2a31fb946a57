"""Trainings of every row with every setting that is tried, and the one that tuning data choose."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from deqbench.data.splits import Dataset
from deqbench.errors import UserError
from deqbench.experiments.deq_score_matching.dkef.config import Data, Row, Setting
from deqbench.experiments.deq_score_matching.dkef.job import KernelSlice
from deqbench.experiments.deq_score_matching.dkef.models import data_of, loss_of, network, watched
from deqbench.records import read_json
from deqbench.score_matching.dkef import DKEF
from deqbench.training import stage
from deqbench.training.settings import Optimisation

FILES = {"weights": "safetensors", "history": "parquet", "card": "json"}


@dataclass(frozen=True)
class Place:
    """The files of one training."""

    folder: Path
    method: str
    split: int
    tried: int  # which of the settings

    def __getitem__(self, name: str) -> Path:
        return self.folder / self.method / f"{self.split}-{self.tried}.{FILES[name]}"

    @property
    def files(self) -> dict[str, Path]:
        """All of them by name."""
        return {name: self[name] for name in FILES}


def optimisation(data: Data, setting: Setting, seed: int) -> Optimisation:
    """The training with a setting's rate and decay over those of the data set."""
    own = {name: value for name in ("lr", "weight_decay") if (value := getattr(setting, name)) is not None}
    return data.optimisation.model_copy(update={**own, "seed": seed})


def places(job: KernelSlice, folder: Path) -> Iterator[tuple[Place, Row, Setting]]:
    """Every training of a job, split by split."""
    for split in job.splits:
        for method, row in job.rows.items():
            for tried, setting in enumerate(job.data.tried[row.family]):
                yield Place(folder, method, split, tried), row, setting


def train_all(job: KernelSlice, folder: Path, on_step: Callable[[int, int], None]) -> None:
    """Trains all of a job's models. UserError: none of the settings of a row gave finite numbers on a split."""
    all_places, loaded = list(places(job, folder)), dict[int, Dataset]()
    for done, (place, row, setting) in enumerate(all_places):
        data = loaded.setdefault(place.split, data_of(job, place.split))
        place["weights"].parent.mkdir(parents=True, exist_ok=True)
        try:
            _train(job, data, place, row, setting)
        except UserError:  # its loss was not finite: the other settings remain
            if place.tried == len(job.data.tried[row.family]) - 1 and not known(job, folder, place.method, place.split):
                raise
        on_step(done + 1, len(all_places))


def _train(job: KernelSlice, data: Dataset, place: Place, row: Row, setting: Setting) -> None:
    net = network(row, setting, job.data.model, data.train, place.split).to(job.device)
    about = {"dataset": job.dataset, "method": place.method, "split": place.split, "row": row.model_dump()}
    about |= {"setting": setting.model_dump(), "model": job.data.model.model_dump()}
    parts = {"train": (data.train,), "tuning": (data.tuning[None],)}  # one batch: far rows are told from all
    settings = optimisation(job.data, setting, place.split)
    stage.run(
        net, loss_of(row), parts, settings, place.files, about=about, metrics=watched(row, setting, job.data.trim)
    )


def known(job: KernelSlice, folder: Path, method: str, split: int) -> list[Place]:
    """The trainings of a row on a split that came to an end."""
    settings = range(len(job.data.tried[job.rows[method].family]))
    found = [Place(folder, method, split, tried) for tried in settings]
    return [place for place in found if place["card"].is_file()]


@dataclass(frozen=True)
class Chosen:
    """The model of a row on a split whose exact loss on tuning data is the lowest."""

    net: DKEF
    place: Place
    card: dict[str, Any]
    row: Row
    setting: Setting
    tried: int  # settings


def chosen(job: KernelSlice, folder: Path, method: str, split: int, train: Tensor) -> Chosen:
    """The chosen model, in evaluation mode. UserError: there is none."""
    cards = {place: read_json(place["card"]) for place in known(job, folder, method, split)}
    if not cards:
        raise UserError(f"{folder}: expected a trained model of {method} on split {split}; found none")
    place = min(cards, key=lambda place: _loss(cards[place]))
    row = job.rows[method]
    setting = Setting(**cards[place]["setting"])
    net = network(row, setting, job.data.model, train, split).to(job.device)
    net.load_state_dict(load_file(place["weights"]))
    return Chosen(net.eval(), place, cards[place], row, setting, len(cards))


def _loss(card: dict[str, Any]) -> float:
    value = card["metrics"].get("tuning_sm")
    return float("inf") if value is None else float(value)
