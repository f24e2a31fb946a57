"""The files that a job reads and writes, by name."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deqbench.errors import UserError
from deqbench.records import write_frame, write_json, write_records, write_tensors

OnStep = Callable[[int, int], None]  # (steps done, steps in all)


def stepped(items: Collection[Any], on_step: OnStep) -> Iterator[Any]:
    """The items, each told as a step when the next one is asked for."""
    for done, item in enumerate(items, start=1):
        yield item
        on_step(done, len(items))


def parse(option: str, given: Iterable[str]) -> dict[str, list[Path]]:
    """Paths by name from the words `name=path`, a name perhaps several times. UserError: one has another form."""
    paths: dict[str, list[Path]] = {}
    for word in given:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UserError(f"--{option}: expected name=path; found '{word}'")
        paths.setdefault(name, []).append(Path(path))
    return paths


@dataclass(frozen=True)
class Files:
    """The files of a job by name."""

    inputs: dict[str, list[Path]]
    outputs: dict[str, Path]

    def all(self, name: str) -> list[Path]:
        """All inputs of a name, none where it was not given."""
        return self.inputs.get(name, [])

    def one(self, name: str) -> Path:
        """The only input of a name. UserError: there is none, or several."""
        paths = self.all(name)
        if len(paths) != 1:
            raise UserError(f"--input: expected one {name}=path; found {len(paths)}")
        return paths[0]

    def of(self, name: str, owner: str) -> Path:
        """The input of a name that belongs to an owner, such as a data set, by the file's stem. UserError: none."""
        for path in self.all(name):
            if path.stem == owner:
                return path
        stems = ", ".join(path.stem for path in self.all(name)) or "none"
        raise UserError(f"--input: expected {name}=path of {owner}; found {stems}")


def write(path: Path, content: Any, about: dict[str, str]) -> None:
    """Writes what a measuring function returned for a file: records, a frame, tensors (with words about them) or JSON.

    about: paper, experiment and data set of rows that do not say them.
    """
    if path.suffix in (".csv", ".parquet"):
        frame = content if isinstance(content, pd.DataFrame) else pd.DataFrame(list(content))
        for place, (name, value) in enumerate(about.items()):
            if name not in frame:
                frame.insert(min(place, frame.shape[1]), name, value)
        (write_records if path.suffix == ".csv" else write_frame)(path, frame)
    elif path.suffix == ".safetensors":
        tensors, words = content if isinstance(content, tuple) else (content, None)
        write_tensors(path, tensors, words)
    else:
        write_json(path, content)
