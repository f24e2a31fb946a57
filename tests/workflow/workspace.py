"""A copy of the workflow's files in a folder of its own, where snakemake runs with the package of this environment."""

import base64
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deqbench import provenance

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COPIED = ("Snakefile", "rules", "config", "profiles", "reports/templates", "reports/static")
OUTPUTS = ("results/smoke", "reports/smoke")
NO_OUTPUT = {"logs", "benchmarks"}


@dataclass(frozen=True)
class Workspace:
    """The folder, and what a user does in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)  # over this process's own

    @classmethod
    def make(cls, root: Path, environment: dict[str, str] | None = None) -> "Workspace":
        """A fresh copy without results."""
        for name in COPIED:
            source = REPOSITORY / name
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
        return cls(root, environment or {})

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs snakemake to its end; stdout holds both streams."""
        return subprocess.run(
            self.command(*words),
            cwd=self.root,
            env={**os.environ, **self.environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def command(self, *words: str) -> list[str]:
        """The command line, on two cores."""
        return [str(BIN / "snakemake"), "--cores", "2", *words]

    def deqbench(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the package's command line to its end."""
        return subprocess.run([str(BIN / "deqbench"), *words], cwd=self.root, text=True, capture_output=True)

    def outputs(self) -> dict[str, int]:
        """When each file that the smoke scale made was written, ns; without what an unfinished job had begun."""
        folders = [self.root / name for name in OUTPUTS]
        files = [path.relative_to(self.root) for folder in folders for path in folder.rglob("*") if path.is_file()]
        marks = (self.root / ".snakemake/incomplete").rglob("*")
        unfinished = {base64.b64decode(path.name).decode() for path in marks if path.is_file()}

        def begun(path: Path) -> bool:
            # A sidecar is written before its artefact, and snakemake marks the artefact alone.
            of = str(path).removesuffix(provenance.SUFFIX)
            return bool(unfinished & {str(path), of, *map(str, path.parents)})

        return {
            str(path): (self.root / path).stat().st_mtime_ns
            for path in files
            if not NO_OUTPUT & set(path.parts) and not begun(path)
        }


def planned(ran: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many jobs of each rule a dry run would run. AssertionError: it failed."""
    assert ran.returncode == 0, ran.stdout
    rows = re.findall(r"^(\w+) +(\d+)$", ran.stdout, re.MULTILINE)
    return {rule: int(count) for rule, count in rows if rule != "total"}


def sentence(ran: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refused config. AssertionError: not exactly one, a traceback, or an exit code but 1."""
    found = [line for line in ran.stdout.splitlines() if line.startswith("deqbench: ")]
    assert ran.returncode == 1, ran.stdout
    assert len(found) == 1, ran.stdout
    assert "Traceback" not in ran.stdout, ran.stdout
    assert "Error" not in ran.stdout, ran.stdout
    return found[0].removeprefix("deqbench: ")
