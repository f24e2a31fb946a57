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
from deqbench import papers
from deqbench.metrics.intervals import PERCENT
from deqbench.papers import Exhibit
from deqbench.records import atomically, read_json, write_text
from deqbench.report import accepted, ledger, ran, summary
from deqbench.report.blocks import Block, Column, Grid, blocks, columns, letter, printed_grid, read_cells
from deqbench.report.ledger import Claim
from deqbench.report.ran import Job
from deqbench.report.trail import RULES, FindTrail, Trail, trails
from deqbench.scale import Config

EMPTY = dict.fromkeys(("source", "targets", "checkpoint", "extractor", "autoencoder", "denoiser"))
PERFORMANCE = "deq-ddim"  # the paper whose studies have a page of their own


@dataclass(frozen=True)
class Place:
    """Where the run's files are and where the pages go."""

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
class Picture:
    """A drawn file."""

    src: str
    title: str
    alt: str
    width: int  # pixels at full size
    legend: tuple[dict[str, Any], ...]  # see charts.Look.key


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
    columns: tuple[Column, ...] = ()
    blocks: tuple[Block, ...] = ()
    cells_csv: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)  # the largest n behind a cell, by data set
    pictures: tuple[Picture, ...] = ()
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
        """How many of its records other code made."""
        return sum(job.stale for job in self.jobs)


@dataclass(frozen=True)
class Paper:
    """A paper's page."""

    id: str
    about: papers.About
    shown: tuple[Shown, ...]
    studies: tuple[Shown, ...]  # beside its exhibits; none where they have a page of their own
    claims: tuple[Claim, ...]
    counts: dict[str, int]
    jobs: tuple[Job, ...]

    def of_kind(self, kind: str) -> tuple[Shown, ...]:
        """Its tables or its figures, in the paper's order."""
        return tuple(shown for shown in self.shown if shown.exhibit.kind == kind)


def build(config: Config, config_file: str, root: Path = Path("."), *, find_trail: FindTrail | None = None) -> Path:
    """Writes reports/<scale>/ under `root` from results/<scale>/ and gives its index.html.

    `config_file` is relative to `root`; `find_trail` is that of `deqbench.report.trail` unless given. UserError: a file
    of the results is not of the form that the pages need.
    """
    place = Place(root, config.scale)
    find_trail = find_trail or trails(config, root)
    shown = tuple(_paper(paper, config, place, find_trail) for paper in papers.PAPERS)
    jobs = ran.jobs(place.results, root)
    common: dict[str, Any] = {
        "scale": config.scale,
        "papers": shown,
        "config_file": config_file,
        "rules_file": RULES,
        "place": place,
        "jobs": jobs,
    }
    common["exhibit_pages"] = {
        f"{e.paper}/{e.id}": f"{e.paper}.html#{e.id}" for p in papers.PAPERS for e in papers.exhibits(p)
    }
    studies = tuple(_shown(study, config, place, find_trail, ()) for study in papers.studies(PERFORMANCE))
    common["exhibit_pages"] |= {
        f"{p}/{study.id}": f"{'performance' if p == PERFORMANCE else p}.html#{study.id}"
        for p in papers.PAPERS
        for study in papers.studies(p)
    }
    pages = _templates(root / "reports" / "templates")
    others = (accepted.longer(found.exhibit, found.blocks, config.scale, root) for found in studies)
    compared = {"studies": studies, "accepted": [found for found in others if found], "chosen": _chosen(place)}
    write_text(place.out / "performance.html", pages.get_template("performance.html").render(common, **compared))
    for paper in shown:
        write_text(place.out / f"{paper.id}.html", pages.get_template("paper.html").render(common, paper=paper))
    overview = {"config": config, "datasets": _datasets(config, shown), "packages": ran.packages(jobs)}
    write_text(place.out / "index.html", pages.get_template("overview.html").render(common, **overview))
    for asset in sorted((root / "reports" / "static").iterdir()):
        _copy(asset, place.out / "static" / asset.name)
    summary.write(place.out / "summary.md", config.scale, shown, studies, jobs)
    return place.out / "index.html"


def _chosen(place: Place) -> list[dict[str, Any]]:
    """What was chosen for methods with candidates, in every comparison of the run."""
    return [row for path in sorted(place.results.glob("*/comparison/*/*.chosen.json")) for row in read_json(path)]


def _templates(folder: Path) -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals.update(ran=ran, letter=letter, percent=PERCENT, version=deqbench.__version__)
    found.filters.update(
        duration=ran.duration, bytes=ran.size, slug=lambda text: text.replace(" ", "-"), groupby_first=_by_first_key
    )
    return found


def _by_first_key(blocks: Iterable[Block]) -> list[tuple[tuple[str, str] | None, list[Block]]]:
    """Blocks together that share their first key, such as the data set, in order of appearance."""
    groups: dict[tuple[str, str] | None, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.keys[0] if block.keys else None, []).append(block)
    return list(groups.items())


def _paper(paper: str, config: Config, place: Place, find_trail: FindTrail) -> Paper:
    claims = ledger.claims(paper, place.results)
    shown = tuple(_shown(exhibit, config, place, find_trail, claims) for exhibit in papers.exhibits(paper))
    own = papers.studies(paper) if paper != PERFORMANCE else ()
    studies = tuple(_shown(study, config, place, find_trail, claims) for study in own)
    jobs = ran.jobs(place.results / paper, place.root)
    return Paper(paper, papers.about(paper), shown, studies, claims, ledger.counts(claims), jobs)


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
    """What the spec asks for under `accepted`: cells of longer chains (true), or those of the scale named."""
    asked = exhibit.spec.get("accepted")
    if isinstance(asked, str):
        return accepted.of(exhibit, asked, root) if asked != scale else None
    return accepted.longer(exhibit, shown, scale, root) if asked else None


def _table(exhibit: Exhibit, place: Place) -> dict[str, Any]:
    """What the cells of an exhibit show, their file copied beside the pages; nothing where there are none."""
    name = f"tables/{exhibit.paper}/{exhibit.id}.csv"
    source = place.results / name
    if not source.exists():
        return {}
    cells = read_cells(source)
    _copy(source, place.out / name)
    found = blocks(exhibit, cells, str(source))
    sizes = cells.groupby("dataset")["n"].max().dropna().astype(int).to_dict()
    return {"columns": columns(exhibit.spec, cells), "blocks": found, "cells_csv": quote(name), "sizes": sizes}


def _figure(exhibit: Exhibit, place: Place) -> dict[str, Any]:
    """What the drawn files of an exhibit show, copied beside the pages; nothing where there are none."""
    name = f"figures/{exhibit.paper}/{exhibit.id}"
    source = place.results / name / "figure.json"
    if not source.exists():
        return {}
    about = read_json(source)
    files = {entry["file"]: entry for entry in about["files"]}
    for file in (*files, about["data"]):
        _copy(source.parent / file, place.out / name / file)
    pictures = (
        Picture(quote(f"{name}/{file}"), entry["title"], entry["alt"], int(entry["width"]), tuple(entry["legend"]))
        for file, entry in files.items()
    )
    return {"pictures": tuple(pictures), "facts": tuple(about["facts"]), "figure_csv": quote(f"{name}/{about['data']}")}


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
    sizes: dict[str, list[int]] = {}
    for exhibit in (exhibit for paper in shown for exhibit in paper.shown):
        for name, n in exhibit.sizes.items():
            sizes.setdefault(name, []).append(n)
    return [
        {**EMPTY, "name": name, **data.model_dump(), "n": max(sizes.get(name, [0]))}
        for name, data in config.subjects.items()
    ]
