"""The site of a small made-up run, and the cells and figures of made-up inversions, built once."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import inversions
import pandas as pd
import pytest
import synthetic
from inversions import DEMO, EXHIBITS

from deqbench import papers
from deqbench.papers.spec import Spec
from deqbench.records import read_records
from deqbench.report import figures, site, sources, tables


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> SimpleNamespace:
    """A repository with a run and its site: root, out, index, and `build` to make the site again."""
    root = tmp_path_factory.mktemp("repository")
    (root / "deqbench").symlink_to(synthetic.REPOSITORY / "deqbench")
    (root / "reports").mkdir()
    for name in ("templates", "static"):
        (root / "reports" / name).symlink_to(synthetic.REPOSITORY / "reports" / name)
    (root / "config").mkdir()
    (root / "config/tiny.yaml").write_text("scale: tiny\n")
    synthetic.write_run(root / "results/tiny")
    declared = papers.exhibits

    def with_specs(paper: str) -> tuple[papers.Exhibit, ...]:
        return tuple(
            replace(found, spec=synthetic.SPECS.get(f"{paper}/{found.id}", Spec())) for found in declared(paper)
        )

    def build() -> Path:
        with pytest.MonkeyPatch.context() as patch:  # for this while only: other tests want the specs as declared
            patch.setattr(papers, "exhibits", with_specs)
            return site.build(synthetic.config(), "config/tiny.yaml", root, find_trail=synthetic.find_trail)

    return SimpleNamespace(root=root, out=root / "reports/tiny", index=build(), build=build)


@pytest.fixture(scope="session")
def inversion_cells(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """The cells of every exhibit of made-up inversions."""
    found = inversions.write_run(tmp_path_factory.mktemp("run") / "results/tiny")
    made = {name: sources.of_table(exhibit, found) for name, exhibit in EXHIBITS.items()}
    return {name: tables.cells(EXHIBITS[name], read_records(paths), DEMO) for name, paths in made.items() if paths}


@pytest.fixture(scope="session")
def inversion_figures(tmp_path_factory) -> Path:
    """What was drawn of made-up inversions: a folder an exhibit."""
    folder = tmp_path_factory.mktemp("drawn")
    found = inversions.write_run(folder / "results/tiny")
    for name, exhibit in EXHIBITS.items():
        if mine := sources.of_figure(exhibit, found):
            figures.draw(exhibit, mine, folder / "out" / name)
    return folder / "out"
