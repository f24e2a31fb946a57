"""Style, types and pins are checked by their own tools."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.workflow.workspace import BIN, REPOSITORY, Workspace

TOOLS = {
    "snakefmt": ("snakefmt", "--check", "Snakefile", "rules"),
    "ruff-check": ("ruff", "check", "."),
    "ruff-format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
}
CONDA_ONLY = "Specify a conda environment or container for each rule."


@pytest.mark.parametrize("words", TOOLS.values(), ids=TOOLS)
def test_the_tool_has_no_complaint(words):
    ran = subprocess.run([BIN / words[0], *words[1:]], cwd=REPOSITORY, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_snakemakes_lint_only_misses_conda_environments(tmp_path):
    ran = Workspace.make(tmp_path).snakemake("--lint")
    complaints = re.findall(r"^    \* (.*):$", ran.stdout, re.MULTILINE)
    assert complaints, ran.stdout
    assert set(complaints) == {CONDA_ONLY}, ran.stdout


def pins() -> dict[str, str]:
    """Versions in constraints.txt by canonical name. AssertionError: a line that is no pin, or a name twice."""
    found = {}
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line).groups()
            assert canonicalize_name(name) not in found
            found[canonicalize_name(name)] = version
    return found


def installed_by_make() -> tuple[str, str]:
    """The constraints' file and the package with its extras, as the Makefile hands them to pip."""
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (found,) = re.findall(r"pip install .*--constraint (\S+) --editable (\S+)$", text, re.MULTILINE)
    return found


def test_conda_installs_what_make_installs():
    constraints, package = installed_by_make()
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    *plain, pip = environment["dependencies"]
    assert pip == {"pip": [f"--constraint {constraints}", f"--editable {package}"]}
    assert plain == [f"python={sys.version_info.major}.{sys.version_info.minor}", "pip"]


def needed(name: str, extras: set[str], seen: dict[str, set[str]]) -> None:
    """Adds to `seen` all that a distribution with those extras needs here, itself not counted."""
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            continue
        key = canonicalize_name(requirement.name)
        if key not in seen or not requirement.extras <= seen[key]:
            seen[key] = seen.get(key, set()) | requirement.extras
            try:
                needed(requirement.name, seen[key], seen)
            except importlib.metadata.PackageNotFoundError:
                continue  # pinned, but of no use on this machine


def test_everything_that_is_installed_is_pinned_and_of_that_version():
    _, package = installed_by_make()
    extras = set(re.fullmatch(r"\.\[(.*)\]", package)[1].split(","))
    assert extras == set(importlib.metadata.metadata("deqbench").get_all("Provides-Extra"))
    seen: dict[str, set[str]] = {}
    needed("deqbench", extras, seen)
    pinned = pins()
    assert len(seen) > 60
    assert seen.keys() - pinned.keys() == set()
    for name in seen:
        try:
            version = Version(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
        assert version.public == Version(pinned[name]).public, name


def test_nothing_is_pinned_that_nothing_needs():
    seen: dict[str, set[str]] = {}
    needed("deqbench", {"test", "slurm"}, seen)
    assert pins().keys() - seen.keys() == set()
