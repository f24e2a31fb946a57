"""Everything behind one exhibit: config key, rules, commands, source, records."""

from dataclasses import dataclass
from pathlib import Path

from deqbench.experiments.stage import Step
from deqbench.papers import Exhibit
from deqbench.report import plan
from deqbench.report.sources import made_from
from deqbench.scale import Config

RULES = "rules/stages.smk"  # makes a rule of every step


@dataclass(frozen=True)
class Trail:
    """Paths are relative to the repository."""

    config_key: str
    rules: tuple[str, ...]
    commands: tuple[str, ...]
    sources: tuple[str, ...]
    records: tuple[str, ...]  # those that a run has left


def trail(exhibit: Exhibit, config: Config, root: Path = Path(".")) -> Trail | None:
    """The trail of an exhibit under a repository, None where this scale does not measure it."""
    steps = [step for step in config.steps if step.scope.paper == exhibit.paper]
    records = {step.rule: _records(exhibit, step) for step in steps}
    last = [step for step in steps if records[step.rule]]
    if not last:
        return None
    stages = _with_what_feeds_them(last, steps)
    report = [step for step in plan.steps(config, "") if _makes(step, exhibit)]
    own = getattr(exhibit.spec, "experiment", None) or exhibit.spec["experiment"]
    key = own if config.papers.of(exhibit.paper).experiment(own) is not None else last[0].scope.experiment
    return Trail(
        config_key=f"papers.{exhibit.paper}.{key}",
        rules=tuple(step.rule for step in (*stages, *report)),
        commands=(
            *dict.fromkeys(f"deqbench run {step.id}" for step in stages),
            *("deqbench " + " ".join(step.command.split()[:3]) for step in report),
        ),
        sources=tuple(dict.fromkeys(step.source for step in stages)),
        records=tuple(sorted(path for paths in records.values() for path in paths if (root / path).exists())),
    )


def _records(exhibit: Exhibit, step: Step) -> list[str]:
    """The files of a step that an exhibit is made from."""
    return [str(path) for path in made_from(exhibit, [Path(made) for made in step.made])] if exhibit.spec else []


def _with_what_feeds_them(last: list[Step], steps: list[Step]) -> list[Step]:
    """The steps and those of the same paper, before them, whose files they read."""
    read = {path for step in last for place in step.places for paths in step.inputs(place).values() for path in paths}
    before = [step for step in steps if step not in last and read.intersection(step.made)]
    return [*_with_what_feeds_them(before, steps), *last] if before else last


def _makes(step: plan.ReportStep, exhibit: Exhibit) -> bool:
    return any(f"/{exhibit.paper}/{exhibit.id}{end}" in path for path in step.made for end in (".csv", "/"))
