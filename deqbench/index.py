"""The cards of all methods, for those who must not load torch: rules and checks of a config.

Imports are the truth: another Python imports the families and writes down their cards, which are kept beside the
bytecode, and like it made again once a file behind them has changed. Where nothing can be written they are made anew.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from deqbench import options as table
from deqbench import registry
from deqbench.errors import UserError, unknown
from deqbench.options import Card
from deqbench.records import write_text

PACKAGE = Path(__file__).parent
Index = dict[str, Any]


def names(folder: str) -> tuple[str, ...]:
    """Names of a family's methods, sorted; those of entry points too."""
    return tuple(sorted({*_family(folder)["methods"], *registry.entry_points(folder)}))


def kind(folder: str) -> str:
    """The word for a method of a family in errors."""
    return _family(folder)["kind"]


def card(folder: str, name: str) -> Card:
    """The card of a method. UserError: there is none of that name, or none that can be imported."""
    own = _family(folder)["methods"]
    reference = registry.entry_points(folder).get(name, name)
    if name not in own and ":" not in reference:
        raise unknown(kind(folder), name, names(folder))
    return Card(**(own[name] if name in own else _outside(folder, reference)))


def wrong(folder: str, name: str, options: dict[str, Any]) -> str | None:
    """`option: expected ...; found ...` for the first option that a method would refuse, or of an unknown method."""
    try:
        return table.wrong(options, card(folder, name), card)
    except UserError as error:
        return str(error)


def methods() -> list[dict[str, Any]]:
    """The package's methods, a row each: kind, name, what each needs, lacks here and cannot do, with the reasons."""
    return [
        {
            "kind": kind(folder),
            "method": name,
            "options": one.options,
            "needs": one.needs,
            "missing": registry.missing(one),
            "cannot": one.cannot,
        }
        for folder in _families()
        for name in names(folder)
        for one in (card(folder, name),)
    ]


def _family(folder: str) -> dict[str, Any]:
    return _families()[folder]


@cache
def _families() -> dict[str, Any]:
    """Kind and cards of each family, by folder."""
    return _told(PACKAGE, "families")


@cache
def _outside(folder: str, reference: str) -> dict[str, Any]:
    """The card of a method from outside the package."""
    return _told(root(reference), "outside", folder, reference)


def _told(where: Path | None, *words: str) -> dict[str, Any]:
    """The cards that another Python makes of `words`, or has made, if no file behind them, below `where`, changed."""
    kept, key = _kept(), " ".join(words)
    if where is None or not _fresh(kept.get(key, {}), where):
        kept[key] = _made(*words)
        with contextlib.suppress(OSError, UserError):  # read-only: made again by whoever needs it next
            write_text(_cache(), json.dumps(kept))
    return kept[key]["cards"]


def root(reference: str) -> Path | None:
    """The folder that holds the package, or file, of a module or `module:function`, found without importing it."""
    top = reference.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(top) if top.isidentifier() else None
    places = (*(spec.submodule_search_locations or ()), spec.origin) if spec else (None,)
    return Path(places[0]).parent if places[0] else None


def _fresh(made: Index, where: Path) -> bool:
    """Whether what was made still stands: no file behind it is another than it was, and there is none more."""
    files = made.get("files", {})
    there = {path.relative_to(where).as_posix() for glob in made.get("globs", ()) for path in where.glob(glob)}
    same = all(_digest(where / name) == digest for name, digest in files.items())
    return bool(files) and same and there <= files.keys()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"


def _cache() -> Path:
    return Path(importlib.util.cache_from_source(str(PACKAGE / "methods.py"))).with_suffix(".json")


def _kept() -> Index:
    try:
        return json.loads(_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _made(*words: str) -> Index:
    """The answer of another Python, with this one's path, to `words`. UserError: a module cannot be imported."""
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "deqbench.index", *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise UserError((ran.stderr.strip().splitlines() or ["methods: expected modules to import; found none"])[-1])
    return json.loads(ran.stdout.splitlines()[-1])


def _describe(what: str, *words: str) -> Index:
    """Cards of all families, or of one method from outside, and digests of the files behind them."""
    if what == "outside":
        folder, reference = words
        made = asdict(registry.family(folder).method(reference).card)
        top = reference.partition(":")[0].partition(".")[0]
        return {"cards": made, "files": dict(_files(top, root(reference) or PACKAGE.parent))}
    families = registry.families()
    made = {}
    for family in families:
        cards = {name: asdict(family.method(name).card) for name in family.own()}
        made[family.folder] = {"kind": family.kind, "methods": cards}
    globs = ["**/__init__.py", *(f"{family.folder}/*.py" for family in families)]
    return {"cards": made, "files": dict(_files("deqbench", PACKAGE)), "globs": globs}


def _files(top: str, where: Path) -> Iterator[tuple[str, str]]:
    """Path below the root and digest of each module of a package that is loaded."""
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] == top and Path(file).is_relative_to(where):
            yield Path(file).relative_to(where).as_posix(), _digest(Path(file))


if __name__ == "__main__":
    try:
        print(json.dumps(_describe(*sys.argv[1:]), default=str))
    except UserError as error:
        sys.exit(str(error))
