"""The origin of a result: code, packages, device, time and memory, in a JSON file beside it."""

import ast
import functools
import hashlib
import importlib.metadata
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deqbench
from deqbench import index, registry
from deqbench.config.strict import Strict
from deqbench.papers.reading import further
from deqbench.records import write_json

PACKAGE = Path(deqbench.__file__).parent
SUFFIX = ".provenance.json"
NAMED: tuple[str, ...] = ("torch", "torchvision", "diffusers", "huggingface_hub", "safetensors", "clean-fid")
NAMED += ("numpy", "scipy", "scikit-learn", "scikit-image")
# Data that code reads and results follow from: the checksums of the shipped weights. A job is told what papers say.
DATA = {"deqbench/zoo/__init__.py": "zoo/*/card.json"}
REFERENCE = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # package.module:function


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_digest(module: str, package: Path = PACKAGE, outside: tuple[str, ...] = ()) -> str:
    """Digest (16 hexadecimal digits) of a module of the package and of all that it imports from the package.

    outside: modules of other packages, each with what it imports from its own. Comments and layout count too: a digest
    that is too easily stale is safer than one that misses a change.
    """
    digest = hashlib.sha256()
    tops = ((name, index.root(name)) for name in outside)
    roots = [(module, package), *((name, root / name.split(".")[0]) for name, root in tops if root)]
    for name, root in roots:
        for path in code_files(name, root):
            digest.update(_here(path, root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def outside(settings: Any) -> tuple[str, ...]:
    """Modules of the methods from outside the package that settings name, anywhere among their values, sorted."""
    if isinstance(settings, (dict, list, tuple)):
        values = settings.values() if isinstance(settings, dict) else settings
        return tuple(sorted({module for value in values for module in outside(value)}))
    reference = registry.added().get(str(settings), str(settings))
    return (reference.split(":")[0],) if REFERENCE.fullmatch(reference) else ()


def code_files(module: str, package: Path = PACKAGE) -> list[Path]:
    """The files behind `code_digest`: modules, those imported inside functions or by listing a folder too, and data."""
    seen: set[Path] = set()
    _follow(module, package, seen)
    return sorted(seen)


def _follow(module: str, package: Path, seen: set[Path]) -> None:
    parts = module.split(".")
    if parts[0] != package.name:
        return
    for depth in range(len(parts)):  # importing a.b.c runs the __init__.py of a and of a.b first
        below = parts[1 : depth + 1]
        bases = [package.joinpath(*below), *(folder.joinpath(*below[1:]) for folder in further() if below[1:])]
        for path in (path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py")):
            if path.is_file() and path not in seen:
                seen.add(path)
                _follow_file(path, package, seen)


def _here(path: Path, package: Path) -> Path:
    """A file as seen from beside its package, or from the folder of papers outside it."""
    return path.relative_to(next(root for root in (package.parent, *further()) if path.is_relative_to(root)))


def _follow_file(path: Path, package: Path, seen: set[Path]) -> None:
    here = _here(path, package)
    if here.as_posix() == "deqbench/__init__.py":  # what it hands to users, when they ask, no stage uses
        return
    seen.update(package.glob(DATA.get(here.as_posix(), "no data")))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Family":
            for sibling in path.parent.glob("*.py"):  # the methods, imported by name
                _follow(".".join([*here.parent.parts, sibling.stem]), package, seen)
        if isinstance(node, ast.Import):
            for alias in node.names:
                _follow(alias.name, package, seen)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                _follow(f"{node.module}.{alias.name}", package, seen)


def packages() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    return {name: importlib.metadata.version(name) for name in NAMED}


@functools.cache
def commit() -> str:
    """The git commit of the code with `+` where it was changed since, or `unknown` outside a checkout."""
    git = ["git", "-C", str(PACKAGE)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def set_threads(threads: int) -> None:
    """Gives torch that many threads; 0 leaves its own choice."""
    import torch

    if threads:
        torch.set_num_threads(threads)


@contextmanager
def recorded(outputs: Sequence[Path], command: str, module: str, settings: Strict) -> Iterator[dict[str, Any]]:
    """Writes `<output>.provenance.json` of every output when the block ends well; the block may add facts.

    command: after `deqbench`. module: of the package, by whose code the results are made.
    """
    import torch

    started, clock = datetime.now(UTC), time.perf_counter()
    extra: dict[str, Any] = {}
    yield extra
    told = settings.model_dump()
    on_gpu = str(told.get("device", "")).startswith("cuda")
    facts = {
        "command": f"deqbench {command}",
        "outputs": [path.as_posix() for path in outputs],
        "version": deqbench.__version__,
        "commit": commit(),
        "module": module,
        "code_digest": code_digest(module, outside=outside(told)),
        "settings": told,
        "settings_digest": hashlib.sha256(repr(told).encode()).hexdigest()[:16],
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.perf_counter() - clock, 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        **extra,
    }
    for path in outputs:
        write_json(sidecar(path), facts)


def sidecar(out: Path) -> Path:
    """The provenance file of a result."""
    return out.with_name(out.name + SUFFIX)
