"""Figures from records: deterministic SVG files, the drawn data beside them, and what a reader must know."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from safetensors import SafetensorError, safe_open

from deqbench.errors import UserError, unknown
from deqbench.papers import Exhibit
from deqbench.records import read_records, write_frame, write_json
from deqbench.report.blocks import number
from deqbench.report.canvas import COLOURS, MARKERS, canvas, pixels
from deqbench.report.performance import draw_errors

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))


def draw(exhibit: Exhibit, records: Sequence[Path], out: Path) -> None:
    """Draws the figure that the exhibit's spec declares from its `records` (files) into the folder `out`.

    Leaves SVG files, `data.csv` and, last, `figure.json` with `files` (file, title, alt, width in pixels),
    `data` and `facts`.
    UserError: the spec's kind is unknown, or there are no records to draw.
    """
    kinds: dict[str, Callable[[Exhibit, Sequence[Path], Path], dict[str, Any]]] = {
        "curves": _curves,
        "latents": _latents,
        "samples": _samples,
        "errors": draw_errors,
    }
    kind = str(exhibit.spec.get("kind"))
    if kind not in kinds:
        raise unknown(f"{exhibit.paper}/{exhibit.id}: figures.yaml: kind", kind, kinds)
    about = kinds[kind](exhibit, records, out)
    write_json(out / "figure.json", {"exhibit": f"{exhibit.paper}/{exhibit.id}", "data": "data.csv", **about})


def _sources(exhibit: Exhibit, records: Sequence[Path], ending: str) -> list[Path]:
    found = sorted(path for path in records if path.suffix == ending)
    if not found:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records (*{ending}) of {exhibit.number}; found none")
    return found


def summarise(records: pd.DataFrame, spec: dict[str, Any]) -> pd.DataFrame:
    """Median, smallest and largest value and n over images: one row a metric, data set, method, line and x.

    The spec's `facet` puts another key, such as eta, in the place of the method.
    """
    x, line = spec["x"], spec["lines"]
    wanted = records[records["metric"].isin(spec["y"]) & np.isfinite(records["value"])]
    by = ["metric", spec.get("panels", "dataset"), spec.get("facet", "method"), line, x]
    by_point = wanted.groupby(list(dict.fromkeys(by)), sort=True)["value"]
    return by_point.agg(median="median", low="min", high="max", n="count").reset_index()


def _curves(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    spec = {"panels": "dataset", "facet": "method", "labels": {}, **exhibit.spec}
    rows = read_records(_sources(exhibit, records, ".parquet"))
    points = summarise(rows, spec)
    if points.empty:
        raise UserError(f"{exhibit.paper}/{exhibit.id}: expected records of {', '.join(spec['y'])}; found none")
    panels = _panels(points, spec)
    shape = (max(row for row, *_ in panels) + 1, max(column for _, column, *_ in panels) + 1)
    size = (max(5.5, 2.9 * shape[1]), 2.3 * shape[0] + 0.5)
    units = rows.drop_duplicates("metric").set_index("metric")["unit"]
    with canvas(out / "figure.svg", shape, size, sharex=True, sharey="row") as (figure, axes):
        for row, column, dataset, facet, metric in panels:
            ax = axes[row, column]
            mine = points[[spec["panels"], spec["facet"], "metric"]].eq([dataset, facet, metric]).all(axis=1)
            _lines(ax, points[mine], spec, sorted(points[spec["lines"]].unique()))
            first = metric == panels[0][-1]
            ax.set_title(f"{dataset} · {_facet(facet, spec)}" if first else "", fontweight="bold")
            ax.set_ylabel(_quantity(metric, str(units[metric]), spec) if column == 0 else "")
            ax.set_xlabel(_quantity(spec["x"], "", spec) if row == shape[0] - 1 else "")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False)
    write_frame(out / "data.csv", points)
    file = {
        "file": "figure.svg",
        "title": "",
        "alt": _alt_of_curves(points, spec),
        "width": pixels(size),
    }
    return {"files": [file], "facts": _facts_of_curves(rows, points, spec)}


def _panels(points: pd.DataFrame, spec: dict[str, Any]) -> list[tuple[int, int, Any, str, str]]:
    """Row, column, data set, facet and metric of each small chart: side by side up to four, else a row a data set."""
    metrics = [metric for metric in spec["y"] if metric in set(points["metric"])]
    found = set(points[spec["facet"]])
    order = [*spec["labels"], *sorted(found - set(spec["labels"]))]
    facets = [facet for facet in order if facet in found]
    pairs = list(product(sorted(points[spec["panels"]].unique()), facets))
    if len(pairs) <= 4:
        return [(row, at, *pair, metric) for (row, metric), (at, pair) in product(enumerate(metrics), enumerate(pairs))]
    return [
        (at // len(facets) * len(metrics) + row, at % len(facets), *pair, metric)
        for (at, pair), (row, metric) in product(enumerate(pairs), enumerate(metrics))
    ]


def _lines(ax: Axes, points: pd.DataFrame, spec: dict[str, Any], lines: list[Any]) -> None:
    """One line a value of the spec's `lines`; a value looks the same in every panel."""
    for at, value in enumerate(lines):
        part = points[points[spec["lines"]] == value]
        if part.empty:
            ax.plot([], [], label=f"{spec['lines']} = {value}", **_look(at))  # the legend reads one panel only
            continue
        every = max(1, len(part) // 8)
        spread: dict[str, Any] = {"markevery": (at % every, every), "markersize": 4.5, "linewidth": 1.5}
        label = f"{spec['lines']} = {value}"
        ax.plot(part[spec["x"]], part["median"], label=label, **_look(at), **spread)
        ax.fill_between(
            part[spec["x"]], part["low"], part["high"], color=COLOURS[at % len(COLOURS)], alpha=0.15, linewidth=0
        )
    if (points["median"] > 0).any():
        ax.set_yscale("log")  # a value of exactly 0 lies below the axis
    ax.grid(True, which="major")


def _look(at: int) -> dict[str, Any]:
    return {
        "color": COLOURS[at % len(COLOURS)],
        "linestyle": DASHES[at % len(DASHES)],
        "marker": MARKERS[at % len(MARKERS)],
    }


def _facet(value: Any, spec: dict[str, Any]) -> str:
    return _quantity(value, "", spec) if spec["facet"] == "method" else f"{spec['facet']} = {value:g}"


def _quantity(name: str, unit: str, spec: dict[str, Any]) -> str:
    label = str(spec["labels"].get(name, name.replace("_", " ")))
    return label if unit in ("", "nan", "unitless", "1") else f"{label} ({unit})"


def _alt_of_curves(points: pd.DataFrame, spec: dict[str, Any]) -> str:
    names = " and ".join(_quantity(metric, "", spec) for metric in spec["y"])
    lines = ", ".join(str(value) for value in sorted(points[spec["lines"]].unique()))
    pairs = points[[spec["panels"], spec["facet"]]].drop_duplicates().itertuples(index=False, name=None)
    where = "; ".join(f"{dataset} with {_facet(facet, spec)}" for dataset, facet in pairs)
    over = _quantity(spec["x"], "", spec)
    return f"Line charts of {names} over {over}, one line per {spec['lines']} ({lines}): {where}."


def _facts_of_curves(rows: pd.DataFrame, points: pd.DataFrame, spec: dict[str, Any]) -> list[str]:
    least, most = points["n"].min(), points["n"].max()
    images = f"{most}" if least == most else f"{least} to {most}"
    facts = [f"Lines are medians, bands run from the smallest to the largest of n = {images} images at each point."]
    if (points["low"] <= 0).any():
        facts.append("Values of exactly 0 lie below the logarithmic axis.")
    lost = int((rows["metric"].isin(spec["y"]) & ~np.isfinite(rows["value"])).sum())
    if lost:
        facts.append(f"{lost} of the recorded values are not finite and are not drawn.")
    return facts


def _latents(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    files, facts, data = [], [], []
    for source in _sources(exhibit, records, ".safetensors"):
        tensors, about = _load(source)
        lengths = sorted({int(key.split(".")[0].removeprefix("T")) for key in tensors}, reverse=True)
        for T in lengths:
            chain = {key.split(".")[1]: tensor for key, tensor in tensors.items() if key.startswith(f"T{T}.")}
            shown = [int(at) for at in chain["indices"]]
            size = (0.85 * len(shown) + 0.9, 2.35)
            rounds, name = about["rounds"], f"{source.stem}-T{T}.svg"
            labels = (f"{rounds} solver\nsteps", "sequential\nchain")
            _grid(out / name, chain, [f"$x_{{{at}}}$" for at in shown], labels, size)
            title = f"{about['dataset']}, T = {T}, {_method(exhibit, about)}"
            states = ", ".join(f"x_{at}" for at in shown)
            alt = f"Two rows of images of {title}, states {states}: after {rounds} solver steps and step by step."
            files.append({"file": name, "title": title, "alt": alt, "width": pixels(size)})
            data += [
                {**about, "T": T, "state": at, "error": f"{error:.6g}"}
                for at, error in zip(shown, chain["error"].tolist(), strict=True)
            ]
            facts.append(f"{title}: x_{shown[-1]} differs by {number(float(chain['error'][-1]), '.2g')}.")
    write_frame(out / "data.csv", pd.DataFrame(data))
    return {
        "files": files,
        "facts": ["The number under a column is the relative difference of its two states to each other.", *facts],
    }


def _samples(exhibit: Exhibit, records: Sequence[Path], out: Path) -> dict[str, Any]:
    files, facts, data = [], [], []
    for source in _sources(exhibit, records, ".safetensors"):
        tensors, about = _load(source)
        heads = [f"eta = {eta:g}" for eta in tensors["eta"]]
        size = (1.1 * len(heads) + 1.1, 2.75)
        _grid(out / f"{source.stem}.svg", tensors, heads, ("solved\njointly", "step\nby step"), size)
        title = f"{about['dataset']}, T = {about['T']}, {_method(exhibit, about)}"
        alt = f"Two rows of images of {title}, from one x_T at {', '.join(heads)}: solved jointly and step by step."
        files.append({"file": f"{source.stem}.svg", "title": title, "alt": alt, "width": pixels(size)})
        columns = zip(*(tensors[name].tolist() for name in ("eta", "rounds", "error")), strict=True)
        data += [{**about, "eta": eta, "rounds": rounds, "error": f"{error:.6g}"} for eta, rounds, error in columns]
        rounds = ", ".join(str(count) for count in tensors["rounds"].tolist())
        facts.append(f"{title}: {rounds} solver steps at {', '.join(heads)}.")
    write_frame(out / "data.csv", pd.DataFrame(data))
    return {
        "files": files,
        "facts": ["The number under a column is the relative difference of its two images to each other.", *facts],
    }


def _method(exhibit: Exhibit, about: dict[str, str]) -> str:
    return _quantity(about["method"], "", {"labels": {}, **exhibit.spec})


def _load(source: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safe_open(source, framework="np") as file:
            about = dict(sorted((file.metadata() or {}).items()))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118  (no dict)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{source}: expected the tensors of shown images; found: {error}") from error


def _grid(
    path: Path, tensors: dict[str, np.ndarray], heads: list[str], labels: tuple[str, str], size: tuple[float, float]
) -> None:
    """Two rows of images, `joint` above `sequential`, enlarged without smoothing; their `error` below."""
    with canvas(path, (2, len(heads)), size) as (_, axes):
        for row, images in enumerate((tensors["joint"], tensors["sequential"])):
            for ax, image in zip(axes[row], images, strict=True):
                picture = np.clip(image.transpose(1, 2, 0) / 2 + 0.5, 0, 1)  # (H, W, C)
                ax.imshow(picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture, interpolation="none")
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
        for (above, below), head, error in zip(axes.T, heads, tensors["error"], strict=True):
            above.set_title(head)
            below.set_xlabel(f"{error:.1e}" if error else "0", fontsize=7.5)
        for ax, label in zip(axes[:, 0], labels, strict=True):
            ax.set_ylabel(label, rotation=0, ha="right", va="center")
