"""Imports go down only: no layer knows one above it, and no file, and no layer, is part of a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import deqbench

PACKAGE = Path(deqbench.__file__).parent
# From the bottom up: the modules and folders of the package, a line a layer.
LAYERS = (
    "errors bounds options records config registry index provenance papers zoo measure".split(),
    "solvers".split(),
    "diffusion score_matching".split(),
    "data".split(),
    "decoder_inversion metrics".split(),
    "training".split(),
    "experiments scale".split(),
    "report".split(),
    "workflow commands cli ready".split(),
)
LAYER = {part: place for place, parts in enumerate(LAYERS) for part in parts}


def modules() -> dict[str, Path]:
    """Files by the names of their modules; not the package's own, which only hands out public names."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """The names that a file imports, inside functions too, but for those that only types are checked with."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from imported(child)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Modules of the package by module that imports them."""
    known, found = modules(), {}
    for name, path in known.items():
        ours = (word.removeprefix("deqbench.") for word in imported(ast.parse(path.read_text(encoding="utf-8"))))
        near = {word if word in known else word.rpartition(".")[0] for word in ours}
        found[name] = {word for word in near if word in known and word != name}
    return found


def test_every_part_of_the_package_has_a_layer(graph):
    assert {name.split(".")[0] for name in graph} == LAYER.keys()


def test_no_module_imports_from_a_layer_above_its_own(graph):
    upward = {
        (name, other)
        for name, others in graph.items()
        for other in others
        if LAYER[other.split(".")[0]] > LAYER[name.split(".")[0]]
    }
    assert upward == set()


def test_no_files_import_each_other_in_a_circle(graph):
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_no_parts_of_the_package_import_each_other_in_a_circle(graph):
    parts: dict[str, set[str]] = {part: set() for part in LAYER}
    for name, others in graph.items():
        mine = name.split(".")[0]
        parts[mine] |= {other.split(".")[0] for other in others} - {mine}
    TopologicalSorter(parts).prepare()


def known_by(graph: dict[str, set[str]], part: str) -> set[str]:
    """The other parts of the package that one of them imports."""
    return {other.split(".")[0] for name in graph if name.split(".")[0] == part for other in graph[name]} - {part}


def test_solvers_know_nothing_of_diffusion_and_the_report_nothing_of_methods(graph):
    assert not known_by(graph, "solvers") & {"diffusion", "decoder_inversion", "experiments"}
    assert not known_by(graph, "report") & {"solvers", "diffusion", "decoder_inversion", "training"}


@pytest.mark.parametrize("part", ["solvers", "diffusion", "decoder_inversion"])
def test_methods_know_no_experiment_no_config_and_no_paper(graph, part):
    assert not known_by(graph, part) & {"experiments", "scale", "config", "papers", "records"}
