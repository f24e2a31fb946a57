"""What is committed belongs to the project and to no one machine."""

import subprocess
from pathlib import Path

import pytest

from tests.workflow.workspace import REPOSITORY

LARGEST_BYTES = 2_300_000
PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"}
# Put together here, so that this file holds none of them.
MACHINES = ["/" + folder for folder in ("work/", "root/", "tmp/bash_jobs", "home/", "Users/")]
OUTSIDE = ["../" + folder for folder in ("shared", "main")]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git has or would take."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=REPOSITORY, text=True, capture_output=True, check=True).stdout.split("\0")
    return [REPOSITORY / name for name in names if name and (REPOSITORY / name).is_file()]


def holding(files: list[Path], words: list[str]) -> dict[str, list[str]]:
    contents = {path: path.read_bytes() for path in files if path.suffix != ".safetensors"}
    found = {path: [word for word in words if word.encode() in text] for path, text in contents.items()}
    return {str(path.relative_to(REPOSITORY)): hits for path, hits in found.items() if hits}


def test_the_list_of_files_is_not_empty(files):
    assert {"Snakefile", "pyproject.toml", "deqbench/cli.py"} <= {str(path.relative_to(REPOSITORY)) for path in files}


def test_no_file_names_a_folder_of_some_machine(files):
    assert holding(files, MACHINES) == {}


def test_no_file_reads_from_beside_the_repository(files):
    assert holding(files, OUTSIDE) == {}


def test_no_weights_are_pickled(files):
    assert [path for path in files if path.suffix in PICKLES] == []


def test_no_file_is_large(files):
    assert {path.name: path.stat().st_size for path in files if path.stat().st_size > LARGEST_BYTES} == {}


def test_no_result_is_committed_but_the_reference(files):
    names = [path.relative_to(REPOSITORY).as_posix() for path in files]
    assert [name for name in names if name.startswith("results/") and not name.startswith("results/reference/")] == []
    assert [
        name for name in names if name.startswith("reports/") and name.split("/")[1] not in ("static", "templates")
    ] == []
