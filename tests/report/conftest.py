"""The site of a small made-up run, built once."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import synthetic

from deqbench import papers
from deqbench.report import site


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
        return tuple(replace(found, spec=synthetic.SPECS.get(f"{paper}/{found.id}", {})) for found in declared(paper))

    def build() -> Path:
        with pytest.MonkeyPatch.context() as patch:  # for this while only: other tests want the specs as declared
            patch.setattr(papers, "exhibits", with_specs)
            return site.build(synthetic.config(), "config/tiny.yaml", root, find_trail=synthetic.find_trail)

    return SimpleNamespace(root=root, out=root / "reports/tiny", index=build(), build=build)
