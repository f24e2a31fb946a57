"""Tiny checkpoints that the project trains itself and ships, a folder a model, each with its card."""

from pathlib import Path

from deqbench.errors import unknown

FOLDER = Path(__file__).parent


def models() -> tuple[str, ...]:
    """The shipped models' names."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/card.json")))


def path(name: str) -> Path:
    """The folder of a shipped model. UserError: there is none of that name."""
    if name not in models():
        raise unknown("zoo model", name, models())
    return FOLDER / name
