"""A paper that is one folder outside the package, and a sampler from outside, are treated as the package's own."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.workspace import REPOSITORY, Workspace

PAPERS = Path(__file__).parent / "papers"
CONFIG = str(PAPERS / "toy.yaml")
SAMPLER = '''
"""A sampler from outside the package."""

from deqbench.diffusion.sampled import Round


def sample(chain, *, keen: bool = False):
    """The chain step by step."""
    for k, x in enumerate(chain.walk(), start=1):
        yield Round(x0=x, settled=k == chain.steps)
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Workspace:
    """A workspace with the report of the toy paper's scale."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "walking.py").write_text(SAMPLER, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(modules), os.environ.get("PYTHONPATH"))))
    environment = {"DEQBENCH_PAPERS": str(PAPERS), "PYTHONPATH": path}
    workspace = Workspace.make(tmp_path_factory.mktemp("toy"), environment)
    ran = workspace.snakemake("--configfile", CONFIG)
    assert ran.returncode == 0, ran.stdout
    return workspace


def cells(made: Workspace, name: str) -> pd.DataFrame:
    return pd.read_csv(made.root / f"results/toy/tables/{name}.csv").set_index(["method", "metric"])


def test_no_file_of_the_package_or_the_workflow_names_the_paper():
    folders = [REPOSITORY / name for name in ("deqbench", "rules", "config", "reports/templates")]
    kinds = (".py", ".smk", ".yaml", ".html", ".json")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    assert len(files) > 200
    assert [path for path in files if re.search(r"\btoy\b", path.read_text(encoding="utf-8").lower())] == []


def test_its_own_kind_trains_on_every_split_and_its_table_pairs_them(made):
    trained = sorted((made.root / "results/toy/toy/table-b").glob("*/[0-9].json"))
    assert len(trained) == 6
    assert all(
        json.loads(path.read_text(encoding="utf-8"))["step"] for path in trained if "provenance" not in path.name
    )
    table = cells(made, "toy/table-b")
    assert table.loc[("fast", "less"), "n"] == 3
    assert table.loc[("fast", "less"), "high"] < -5 < table.loc[("fast", "excess"), "low"]


def test_a_kind_of_another_paper_draws_its_figure(made):
    figure = json.loads((made.root / "results/toy/figures/toy/figure-a/figure.json").read_text(encoding="utf-8"))
    assert figure["files"]
    assert cells(made, "toy/figure-a").loc[("joint", "residual_last"), "n"] == 3


def test_its_claims_are_judged_one_way_and_the_other(made):
    claims = json.loads((made.root / "results/toy/claims/toy.json").read_text(encoding="utf-8"))
    assert {claim["id"]: claim["verdict"] for claim in claims} == {"toy-1": "reproduced", "toy-2": "contradicted"}


def test_it_has_a_page_and_the_index_names_it(made):
    assert "Means learnt in few updates" in (made.root / "reports/toy/toy.html").read_text(encoding="utf-8")
    assert "toy.html" in (made.root / "reports/toy/index.html").read_text(encoding="utf-8")


def test_a_sampler_from_outside_stands_in_tables_beside_ours_with_equal_values(made):
    table = cells(made, "deq-ddim/table-1")
    assert table.loc[("outside", "pixel_mean"), "value"] == table.loc[("ddim", "pixel_mean"), "value"]
    assert table.loc[("outside", "nfe"), "value"] == 10


def test_a_second_run_of_it_does_nothing(made):
    assert "Nothing to be done" in made.snakemake("--configfile", CONFIG, "--dry-run").stdout
