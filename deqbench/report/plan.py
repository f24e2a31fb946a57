"""The report's part of the workflow: which tables, verdicts, figures and pages a scale's records make."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deqbench import papers, provenance
from deqbench.report.sources import of_figure, of_table
from deqbench.scale import Config

PAGE_FILES = ("reports/static", "reports/templates")


@dataclass(frozen=True)
class ReportStep:
    """One command of the report, from which a rule is made as from a stage's `Step`."""

    rule: str
    message: str
    log: str
    given: dict[str, list[str]]  # what is read, by name
    made: list[str]
    command: str  # after `deqbench`
    constraints: dict[str, str] = field(default_factory=dict)  # of wildcards: it has none
    alone: bool = False
    local: bool = True

    @property
    def code(self) -> str:
        """Digest of the modules behind the report."""
        return provenance.code_digest("deqbench.commands.report")

    @property
    def outputs(self) -> dict[str, str]:
        """Paths by name."""
        return {f"file_{place}": path for place, path in enumerate(self.made)}

    def inputs(self, wildcards: Any) -> dict[str, list[str]]:
        """Paths by name."""
        return self.given

    def words(self, wildcards: Any) -> str:
        """The command line after `deqbench`."""
        return self.command


def page(config: Config) -> str:
    """The first page of a scale's report."""
    return f"reports/{config.scale}/index.html"


def steps(config: Config, config_file: str) -> list[ReportStep]:
    """The steps from records to pages. config_file: the name of the config to print."""
    results = f"results/{config.scale}"
    whole, told = f"{results}/config.json", config.model_dump_json(by_alias=True)
    of_papers = [step for paper in config.measured for step in _of_paper(config, paper, results, whole)]
    write = ReportStep(
        rule="effective_config",
        message="the config with every override",
        log=f"{results}/logs/config.log",
        given={},
        made=[whole],
        command=f"config write --settings {shlex.quote(told)} --out {whole}",
    )
    site = ReportStep(
        rule="site",
        message=f"the report of {config.scale}",
        log=f"{results}/logs/site.log",
        given={
            "config": [whole],
            "exhibits": [path for step in of_papers for path in step.made],
            "templates": [str(path) for folder in PAGE_FILES for path in sorted(Path(folder).glob("*"))],
        },
        made=[page(config)],
        command=f"report site --config {whole} --config-file {shlex.quote(config_file)}",
    )
    return [write, *of_papers, site]


def _of_paper(config: Config, paper: str, results: str, whole: str) -> Iterable[ReportStep]:
    """Tables, verdicts and figures of a paper, as far as this scale has their records."""
    records = [Path(path) for step in config.steps if step.scope.paper == paper for path in step.made]
    known = (*papers.exhibits(paper), *papers.studies(paper))
    tabulated, drawn = (
        {exhibit.id: paths for exhibit in known if (paths := of(exhibit, records))} for of in (of_table, of_figure)
    )

    def step(kind: str, message: str, given: dict[str, list[str]], made: list[str], words: str) -> ReportStep:
        rule, log = f"{paper}_{kind}".replace("-", "_"), f"{results}/logs/{kind}/{paper}.log"
        files = " ".join(path for name in ("cells", "records") for path in given.get(name, ()))
        return ReportStep(rule, f"{paper}: {message}", log, given, made, f"report {kind} {paper} {files} {words}")

    cells = [f"{results}/tables/{paper}/{name}.csv" for name in tabulated]
    if cells:
        given = {"config": [whole], "records": _once(tabulated)}
        yield step("tables", "cells of every exhibit", given, cells, f"--config {whole} --out {results}/tables/{paper}")
        others = sorted(map(str, Path("results/reference").glob(f"*/{paper}/*.csv")))
        accepted = [path for path in others if Path(path).parts[2] != config.scale]
        given, verdicts = {"config": [whole], "cells": cells, "accepted": accepted}, f"{results}/claims/{paper}.json"
        words = " ".join([*(f"--accepted {path}" for path in accepted), f"--config {whole} --out {verdicts}"])
        yield step("claims", "verdicts", given, [verdicts], words)
    if drawn:
        figures, folder = [f"{results}/figures/{paper}/{name}" for name in drawn], f"{results}/figures/{paper}"
        made = [f"{figure}/figure.json" for figure in figures]
        yield step("figures", "drawings of every figure", {"records": _once(drawn)}, made, f"--out {folder}")


def _once(records: dict[str, list[Path]]) -> list[str]:
    """The records of all exhibits, each once."""
    return sorted({str(path) for paths in records.values() for path in paths})
