"""A made-up paper in a folder beside the package."""

from pathlib import Path

import pytest
import yaml
from toy_paper import content

from deqbench.papers import reading


@pytest.fixture
def toy(tmp_path: Path, monkeypatch):
    """Writes a paper's files, a sound one's unless given otherwise, and makes it known; gives its folder."""
    caches = [found for found in vars(reading).values() if hasattr(found, "cache_clear")]

    def write(**files: object) -> Path:
        folder = tmp_path / "toy"
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        for name, values in (content() | {f"{name}.yaml": values for name, values in files.items()}).items():
            text = values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False)
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "tables/table-1.csv").write_text("row,metric,value\na,gain,1\n", encoding="utf-8")
        monkeypatch.setenv(reading.FURTHER, str(tmp_path))
        for cached in caches:
            cached.cache_clear()
        return folder

    yield write
    for cached in caches:
        cached.cache_clear()
