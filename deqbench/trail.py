"""Everything behind one exhibit: config key, rules, commands, source, records, printed values."""

import re
from dataclasses import dataclass
from pathlib import Path

from deqbench.config import Config
from deqbench.papers import Exhibit


@dataclass(frozen=True)
class Trail:
    """Paths are relative to the repository."""

    config_file: str
    config_key: str
    rules: tuple[tuple[str, str], ...]  # (rule, its file)
    commands: tuple[str, ...]
    sources: tuple[str, ...]
    records: tuple[str, ...]
    printed: str | None


def trail(exhibit: Exhibit, config: Config, config_file: str = "", root: Path = Path(".")) -> Trail | None:
    """The trail of an exhibit, None where nothing measures it yet. Records: those that a run has left under `root`."""
    spec = exhibit.spec
    if not spec:
        return None
    rules = tuple((rule, _rule_file(rule, root)) for rule in spec["rules"])
    results = Path("results") / config.scale
    records = sorted(
        p.relative_to(root).as_posix() for pattern in exhibit.records for p in (root / results).glob(pattern)
    )
    return Trail(
        config_file=config_file or f"config/{config.scale}.yaml",
        config_key=f"papers.{exhibit.paper}.{spec['experiment']}",
        rules=rules,
        commands=tuple(dict.fromkeys(command for rule, file in rules for command in _commands(rule, root / file))),
        sources=tuple(spec["sources"]),
        records=tuple(records),
        printed=f"deqbench/papers/{exhibit.paper}/{exhibit.printed}" if exhibit.printed else None,
    )


def _rule_file(rule: str, root: Path) -> str:
    named = re.compile(rf"^ *(rule {rule}:|use rule \w+ as {rule} with:)$", re.MULTILINE)
    for path in sorted((root / "rules").glob("*.smk")):
        if named.search(path.read_text(encoding="utf-8")):
            return path.relative_to(root).as_posix()
    raise LookupError(f"rule {rule}: expected in rules/*.smk; found in none")


def _commands(rule: str, file: Path) -> list[str]:
    """The `deqbench x y` of a rule's shell line, or of the rule in the same file that it takes over."""
    text = file.read_text(encoding="utf-8")
    if taken := re.search(rf"use rule (\w+) as {rule} with:", text):
        return _commands(taken[1], file)
    body = re.split(r"^ *(?:use )?rule ", text.split(f"rule {rule}:\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r'"(deqbench [a-z]+ [a-z]+)', body)
