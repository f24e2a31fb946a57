"""The report as a static site: one overview and a page a paper, from files alone, readable offline."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import yaml

import deqbench
from deqbench import index, papers
from deqbench.metrics.intervals import PERCENT
from deqbench.papers import Exhibit
from deqbench.papers.spec import Metric
from deqbench.records import atomically, read_json, write_text
from deqbench.report import accepted, ledger, ran
from deqbench.report.blocks import Block, Grid, blocks, columns, letter, number, printed_grid, read_cells
from deqbench.report.ledger import Claim
from deqbench.report.ran import Job
from deqbench.report.trail import RULES, FindTrail, Trail, trails
from deqbench.scale import Config

EMPTY = dict.fromkeys(("source", "targets", "checkpoint", "extractor", "autoencoder", "denoiser"))


@dataclass(frozen=True)
class Place:
    """A run's files and its pages, as folders."""

    root: Path
    scale: str

    @property
    def results(self) -> Path:
        return self.root / "results" / self.scale

    @property
    def out(self) -> Path:
        return self.root / "reports" / self.scale

    def link(self, path: str) -> str | None:
        """The address of a file or folder of the repository, as seen from a page. None: it is not there, or outside."""
        inside = not Path(path).is_absolute() and ".." not in Path(path).parts
        return quote(f"../../{path}") if inside and (self.root / path).exists() else None


@dataclass(frozen=True)
class Shown:
    """An exhibit with everything that its section prints."""

    exhibit: Exhibit
    printed: Grid | None
    printed_csv: str | None
    trail: Trail | None
    settings: str  # the config's section as YAML
    jobs: tuple[Job, ...]
    claims: tuple[Claim, ...]
    columns: tuple[Metric, ...] = ()
    blocks: tuple[Block, ...] = ()
    cells_csv: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)  # the largest n behind a cell, by data set
    pictures: tuple[dict[str, Any], ...] = ()  # of canvas.entry, with the address `src`
    facts: tuple[str, ...] = ()
    figure_csv: str | None = None
    longer: accepted.Accepted | None = None  # accepted cells of longer chains or runs, where the spec asks for them

    @property
    def status(self) -> str:
        """Whether the run left its cells or its picture, or the exhibit has nothing that could be measured."""
        if self.exhibit.no_numbers:
            return "no numbers"
        return "measured" if self.cells_csv or self.pictures else "not measured yet"

    @property
    def stale(self) -> int:
        """The number of its records that other code made."""
        return sum(job.stale for job in self.jobs)


@dataclass(frozen=True)
class Paper:
    """A paper's page."""

    id: str
    about: papers.About
    shown: tuple[Shown, ...]
    studies: tuple[Shown, ...]  # beside its exhibits
    performance: tuple[Shown, ...]  # its studies where they stand on the page of that name instead
    claims: tuple[Claim, ...]
    counts: dict[str, int]
    jobs: tuple[Job, ...]

    def of_kind(self, kind: str) -> tuple[Shown, ...]:
        """Its tables or its figures, in the paper's order."""
        return tuple(shown for shown in self.shown if shown.exhibit.kind == kind)


def build(config: Config, config_file: str, root: Path = Path("."), *, find_trail: FindTrail | None = None) -> Path:
    """The index.html of reports/<scale>/, written under `root` with all other pages from results/<scale>/.

    `config_file` is relative to `root`; `find_trail` is that of `deqbench.report.trail` unless given. UserError: a file
    of the results is not of the form that the pages need.
    """
    place = Place(root, config.scale)
    find_trail = find_trail or trails(config, root)
    shown = tuple(_paper(paper, config, place, find_trail) for paper in papers.PAPERS)
    studies = [study for paper in shown for study in paper.performance]
    jobs = ran.jobs(place.results, root)
    common: dict[str, Any] = {
        "scale": config.scale,
        "papers": shown,
        "config_file": config_file,
        "rules_file": RULES,
        "place": place,
        "jobs": jobs,
        "exhibit_pages": _addresses(shown),
    }
    pages = _templates(root / "reports" / "templates")

    def write(name: str, template: str, **values: Any) -> None:
        write_text(place.out / name, pages.get_template(template).render(common, **values))

    others = (accepted.longer(study.exhibit, study.blocks, config.scale, root) for study in studies)
    chosen = [row for path in sorted(place.results.glob("*/*/*/*.chosen.json")) for row in read_json(path)]
    write("performance.html", "performance.html", studies=studies, accepted=list(filter(None, others)), chosen=chosen)
    for paper in shown:
        write(f"{paper.id}.html", "paper.html", paper=paper)
    facts = {"datasets": _datasets(config, shown), "packages": ran.packages(jobs), "methods": index.methods()}
    write("index.html", "overview.html", config=config, **facts)
    for asset in sorted((root / "reports" / "static").iterdir()):
        _copy(asset, place.out / "static" / asset.name)
    write("summary.md", "summary.md")
    return place.out / "index.html"


def _addresses(shown: Iterable[Paper]) -> dict[str, str]:
    """The address of each exhibit and study, by paper/id."""
    placed = [(paper, f"{paper.id}.html", (*paper.shown, *paper.studies)) for paper in shown]
    placed += [(paper, "performance.html", paper.performance) for paper in shown]
    return {
        f"{paper.id}/{each.exhibit.id}": f"{page}#{each.exhibit.id}" for paper, page, every in placed for each in every
    }


def _templates(folder: Path) -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals.update(ran=ran, letter=letter, percent=PERCENT, version=deqbench.__version__)
    templates.globals.update(strip=ledger.strip, verdicts=ledger.VERDICTS)
    templates.filters.update(
        duration=ran.duration,
        bytes=ran.size,
        number=number,
        plain=_plain,
        slug=lambda text: text.replace(" ", "-"),
        groupby_first=_by_first_key,
    )
    return templates


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for a tag, a column or a line's end."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())


def _by_first_key(blocks: Iterable[Block]) -> list[tuple[tuple[str, str], list[Block]]]:
    """Blocks together that share their first key, such as the data set, in order of appearance: not all are sorted."""
    groups: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.keys[0], []).append(block)
    return list(groups.items())


def _paper(paper: str, config: Config, place: Place, find_trail: FindTrail) -> Paper:
    about, claims = papers.about(paper), ledger.claims(paper, place.results)
    resting = () if about.performance else claims  # there are none on the other page

    def shown(exhibits: Iterable[Exhibit], claims: Iterable[Claim]) -> tuple[Shown, ...]:
        return tuple(_shown(exhibit, config, place, find_trail, claims) for exhibit in exhibits)

    exhibits, studies = shown(papers.exhibits(paper), claims), shown(papers.studies(paper), resting)
    here, there = ((), studies) if about.performance else (studies, ())
    jobs = ran.jobs(place.results / paper, place.root)
    return Paper(paper, about, exhibits, here, there, claims, ledger.counts(claims), jobs)


def _shown(exhibit: Exhibit, config: Config, place: Place, find_trail: FindTrail, claims: Iterable[Claim]) -> Shown:
    behind = find_trail(exhibit)
    name = f"{exhibit.paper}/{exhibit.id}"
    table = _table(exhibit, place) if behind else {}
    figure = _figure(exhibit, place) if behind else {}
    return Shown(
        exhibit=exhibit,
        printed=printed_grid(exhibit),
        printed_csv=place.link(f"deqbench/papers/{exhibit.paper}/{exhibit.printed}") if exhibit.printed else None,
        trail=behind,
        settings=_settings(config, behind.config_key) if behind else "",
        jobs=tuple(ran.job(record, place.root) for record in behind.records) if behind else (),
        claims=tuple(claim for claim in claims if name in claim.exhibits),
        longer=_longer(exhibit, table.get("blocks", ()), config.scale, place.root) if behind else None,
        **table,
        **figure,
    )


def _longer(exhibit: Exhibit, shown: Iterable[Block], scale: str, root: Path) -> accepted.Accepted | None:
    """Accepted cells as the spec asks for them: of longer chains (true), or those of the scale named."""
    asked = exhibit.spec.accepted
    if isinstance(asked, str):
        return accepted.of(exhibit, asked, root) if asked != scale else None
    return accepted.longer(exhibit, shown, scale, root) if asked else None


def _table(exhibit: Exhibit, place: Place) -> dict[str, Any]:
    """A table's part of `Shown`, its file copied beside the pages; nothing where there are no cells."""
    name = f"tables/{exhibit.paper}/{exhibit.id}.csv"
    source = place.results / name
    if not source.exists():
        return {}
    cells = read_cells(source)
    _copy(source, place.out / name)
    sizes = cells.groupby("dataset")["n"].max().dropna().astype(int).to_dict()
    laid_out = {"columns": columns(exhibit.spec, cells), "blocks": blocks(exhibit, cells, str(source))}
    return {**laid_out, "cells_csv": quote(name), "sizes": sizes}


def _figure(exhibit: Exhibit, place: Place) -> dict[str, Any]:
    """A figure's part of `Shown`, its files copied beside the pages; nothing where none is drawn."""
    name = f"figures/{exhibit.paper}/{exhibit.id}"
    source = place.results / name / "figure.json"
    if not source.exists():
        return {}
    about = read_json(source)
    for file in (*(entry["file"] for entry in about["files"]), about["data"]):
        _copy(source.parent / file, place.out / name / file)
    pictures = tuple({**entry, "src": quote(f"{name}/{entry['file']}")} for entry in about["files"])
    return {"pictures": pictures, "facts": tuple(about["facts"]), "figure_csv": quote(f"{name}/{about['data']}")}


def _copy(source: Path, target: Path) -> None:
    atomically(target, lambda temporary: shutil.copyfile(source, temporary))


def _settings(config: Config, key: str) -> str:
    """The section of the config that a dotted key names, as YAML; empty if there is none."""
    section: Any = config.model_dump(by_alias=True, mode="json")
    for part in key.split("."):
        if not isinstance(section, dict) or part not in section:
            return ""
        section = section[part]
    return yaml.safe_dump(section, sort_keys=False, allow_unicode=True, width=100)


def _datasets(config: Config, shown: Iterable[Paper]) -> list[dict[str, Any]]:
    """The data sets and latent models of the config, each with the largest n behind one measured value."""
    sizes = [exhibit.sizes for paper in shown for exhibit in paper.shown]
    return [
        {**EMPTY, "name": name, **data.model_dump(), "n": max((each.get(name, 0) for each in sizes), default=0)}
        for name, data in config.subjects.items()
    ]
