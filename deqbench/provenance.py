"""Where a result comes from: code, packages, device, time and memory, in a JSON file beside it."""

import ast
import functools
import hashlib
import importlib.metadata
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import deqbench
from deqbench.records import write_json

PACKAGE = Path(deqbench.__file__).parent
NAMED = ("torch", "torchvision", "diffusers", "huggingface_hub", "safetensors", "clean-fid", "numpy", "scipy", "scikit-learn")


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_digest(module: str) -> str:
    """Digest (16 hexadecimal digits) of a module of the package and of every module of the package that it imports.

    Comments and layout count too: a digest that is too easily stale is safer than one that misses a change.
    """
    seen: set[Path] = set()
    _follow(_file_of(module), seen)
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "deqbench":
        return None
    base = PACKAGE.joinpath(*parts[1:])
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _follow(path: Path | None, seen: set[Path]) -> None:
    if path is None or path in seen:
        return
    seen.add(path)
    if path.name == "__init__.py" and "register" in path.read_text():  # a registry imports every file beside it
        for sibling in path.parent.glob("*.py"):
            _follow(sibling, seen)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _follow(_file_of(alias.name), seen)
        elif isinstance(node, ast.ImportFrom) and node.module:
            _follow(_file_of(node.module), seen)
            for alias in node.names:
                _follow(_file_of(f"{node.module}.{alias.name}"), seen)


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
def recorded(out: Path, command: str, settings: Any, device: str = "cpu") -> Iterator[dict[str, Any]]:
    """Writes `<out>.provenance.json` when the block ends well; the block may add keys to the mapping it gets."""
    import torch

    started, clock = datetime.now(timezone.utc), time.perf_counter()
    extra: dict[str, Any] = {}
    yield extra
    on_gpu = device.startswith("cuda")
    facts = {
        "command": f"deqbench {command}",
        "version": deqbench.__version__,
        "commit": commit(),
        "code_digest": code_digest(f"deqbench.commands.{command.split()[0]}"),
        "settings": settings,
        "settings_digest": hashlib.sha256(repr(settings).encode()).hexdigest()[:16],
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
    write_json(sidecar(out), facts)


def sidecar(out: Path) -> Path:
    """The provenance file of a result."""
    return out.with_name(out.name + ".provenance.json")
