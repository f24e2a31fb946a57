"""Everything behind one exhibit: config key, rules, commands, source, records, printed values."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deqbench.experiments.stage import Step, source
from deqbench.papers import Exhibit
from deqbench.report import plan
from deqbench.report.sources import made_from
from deqbench.scale import Config, kinds

RULES = "rules/stages.smk"  # makes a rule of every step


@dataclass(frozen=True)
class Trail:
    """Paths are relative to the repository."""

    config_key: str
    rules: tuple[str, ...]  # of RULES, none where the scale does not measure it
    commands: tuple[str, ...]
    sources: tuple[str, ...]
    records: tuple[str, ...]  # those that a run has left
    printed: str | None


FindTrail = Callable[[Exhibit], Trail | None]


def trails(config: Config, root: Path = Path(".")) -> FindTrail:
    """A function that gives the trail of an exhibit under a repository, None where no scale measures it."""
    known, of_report = config.steps, plan.steps(config, "")

    def find(exhibit: Exhibit) -> Trail | None:
        if not exhibit.spec:
            return None
        steps = [step for step in known if step.scope.paper == exhibit.paper]
        records = {step.rule: _records(exhibit, step) for step in steps}
        last = [step for step in steps if records[step.rule]]
        stages = _with_what_feeds_them(last, steps)
        report = [step for step in of_report if _makes(step, exhibit)]
        return Trail(
            config_key=_key(exhibit, last),
            rules=(*(step.rule for step in stages), *(step.rule for step in report)),
            commands=(
                *dict.fromkeys(f"deqbench run {step.id}" for step in stages),
                *("deqbench " + " ".join(step.command.split()[:3]) for step in report),
            ),
            sources=tuple(dict.fromkeys(step.source for step in stages)) or (_source(exhibit),),
            records=tuple(sorted(path for paths in records.values() for path in paths if (root / path).exists())),
            printed=f"deqbench/papers/{exhibit.paper}/{exhibit.printed}" if exhibit.printed else None,
        )

    return find


def _records(exhibit: Exhibit, step: Step) -> list[str]:
    """The files of a step that an exhibit is made from."""
    return [str(path) for path in made_from(exhibit, [Path(made) for made in step.made])]


def _with_what_feeds_them(last: list[Step], steps: list[Step]) -> list[Step]:
    """The steps and those of the same paper, before them, whose files they read."""
    read = {path for step in last for place in step.places for paths in step.inputs(place).values() for path in paths}
    before = [step for step in steps if step not in last and read.intersection(step.made)]
    return [*_with_what_feeds_them(before, steps), *last] if before else last


def _makes(step: plan.ReportStep, exhibit: Exhibit) -> bool:
    return any(f"/{exhibit.paper}/{exhibit.id}{end}" in path for path in step.made for end in (".csv", "/"))


def _source(exhibit: Exhibit) -> str:
    """The file that measures an exhibit's experiment."""
    kind, _ = kinds(exhibit.paper)[exhibit.spec.experiment]
    return source(kind)


def _key(exhibit: Exhibit, steps: list[Step]) -> str:
    """The config key of an exhibit's experiment, or of the one whose job makes its records as well."""
    own = exhibit.spec.experiment
    makers = [step.scope for step in steps]
    if makers and makers[0].shared.experiment(own) is None:
        return makers[0].key
    return f"papers.{exhibit.paper}.{own}"
