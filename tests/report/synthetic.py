"""A small made-up run with everything that a page must show: gaps, stand-ins, stale records, hostile names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from deqbench import papers, provenance
from deqbench.data.sources import Checkpoint, Dataset
from deqbench.papers.spec import Spec
from deqbench.records import write_frame, write_json, write_tensors
from deqbench.report import figures
from deqbench.report.trail import Trail
from deqbench.scale import Config, Limits, Papers

REPOSITORY = Path(__file__).parents[2]
HOSTILE = "<script>alert('x')</script>"
UNSCORED = "scored at the T of the <i>scores</i> only"
MODULE = "deqbench.measure.clock"
REASON = "would take 3 hours <b>here</b>"
CURVES = {"kind": "curves", "x": "round", "y": ["residual", "x0_error"], "lines": "T"}
DECLARED = {
    "deq-ddim/table-1": {
        "experiment": "table-1",
        "metrics": [
            {
                "id": "fid",
                "label": "FID",
                "unit": "unitless",
                "direction": "lower",
                "format": ".3g",
                "help": "Distance.",
            },
            {"id": "time", "label": "time per image", "unit": "s", "direction": "lower", "format": ".3g"},
            {"id": "time_ratio", "label": "time / DDIM", "unit": "", "direction": "lower", "format": ".2f"},
            {"id": "nfe", "label": "evaluations", "unit": "", "direction": "lower", "format": ".0f"},
        ],
    },
    "deq-ddim/figure-1": {"experiment": "figure-1", "drawing": CURVES},
    "deq-ddim/figure-2": {"experiment": "figure-2", "drawing": {"kind": "latents"}},
}
SPECS = {name: Spec.model_validate(declared) for name, declared in DECLARED.items()}


def cells() -> pd.DataFrame:
    """Cells of table 1 with a gap, a column of gaps in one block, a projected value and a hostile label."""
    rng = np.random.default_rng(0)
    rows = []
    for dataset, row in (("digits", "CIFAR10"), ("tissue", "CelebA")):
        for steps in (20, 1000):
            for method, label in (("ddim", "DDIM"), ("deq-ddim", "DEQ-DDIM (paper)"), ("ours", HOSTILE)):
                for metric, scale in (("fid", 9.0), ("time", 0.4), ("time_ratio", 1.0), ("nfe", 300.0)):
                    value = scale * (0.5 + rng.random())
                    row_of = {
                        "dataset": dataset,
                        "stands_in_for": row,
                        "T": steps,
                        "method": method,
                        "method_label": label,
                    }
                    printed = metric == "fid" and method != "ours" and steps == 1000
                    gap = metric == "time" and method == "ours"
                    about = {"printed": "3.80" if printed else "", "printed_row": row if printed else ""}
                    rows.append(
                        {"paper": "deq-ddim", "exhibit": "table-1", **row_of, "metric": metric, "metric_label": metric}
                        | {"unit": "", "direction": "lower", "value": np.nan if gap else value, "low": 0.9 * value}
                        | {"high": 1.1 * value, "n": 512 if metric == "fid" else 12, "format": ".3g", **about}
                        | {"statistic": "mean" if metric == "fid" else "median", "note": REASON if gap else ""}
                        | {
                            "relation": "stand-in" if printed else "",
                            "kind": "projected" if metric == "nfe" else "measured",
                        }
                    )
    frame = pd.DataFrame(rows)
    unscored = (frame["dataset"] == "tissue") & (frame["T"] == 20) & (frame["metric"] == "fid")
    frame.loc[unscored, ["value", "low", "high", "note"]] = [np.nan, np.nan, np.nan, UNSCORED]
    return frame


def curves() -> pd.DataFrame:
    """A residual and an error that fall over rounds, for three chain lengths and 5 images."""
    points = [
        {
            "T": steps,
            "image": image,
            "round": at,
            "metric": metric,
            "value": scale * (1 + image) * 0.7 ** (at * 20 / steps),
        }
        for steps in (10, 50, 100)
        for image in range(5)
        for at in range(1, 16)
        for metric, scale in (("residual", 1.0), ("x0_error", 0.1))
    ]
    about = {
        "paper": "deq-ddim",
        "experiment": "figure-1",
        "dataset": "digits",
        "method": "deq-ddim",
        "unit": "unitless",
    }
    return pd.DataFrame([{**about, **point} for point in points])


def write_latents(path: Path, channels: int = 3) -> None:
    """Seven shown states of 8x8 pixels."""
    import torch

    generator = torch.Generator().manual_seed(0)
    joint = torch.rand(7, channels, 8, 8, generator=generator) * 2 - 1
    indices = torch.tensor([*range(500, 0, -250), 4, 3, 2, 1, 0])
    errors = torch.logspace(0, -4, 7)
    tensors = {"joint": joint[None], "sequential": joint * 0.9, "indices": indices, "error": errors[None]}
    about = {"solves": "deq-ddim 15", "dataset": path.stem}
    write_tensors(path, {f"T500.{name}": tensor for name, tensor in tensors.items()}, about)


def write_sidecar(record: Path, stale: bool) -> None:
    """Provenance as `recorded` leaves it."""
    digest = "0" * 16 if stale else provenance.code_digest(MODULE)
    facts = {
        "command": "deqbench sampling draw --method ddim",
        "module": MODULE,
        "version": "0.1.0",
        "commit": "abc123",
        "wall_s": 61.5,
    }
    when = {
        "code_digest": digest,
        "settings": {},
        "started": "2024-05-01T10:00:00+00:00",
        "peak_rss_bytes": 512_000_000,
    }
    write_json(
        provenance.sidecar(record), facts | when | {"device": "x86_64", "threads": 2, "packages": {"torch": "2.9"}}
    )


ELSEWHERE = {"scale": "large", "date": "2024-05-01", "verdict": "contradicted", "sentence": f"Another {HOSTILE}."}


def verdicts() -> list[dict]:
    """One verdict of each kind, the sentence of one hostile."""
    kinds = ("reproduced", "contradicted", "inconclusive", "not testable at this scale")
    row = {"label": "digits, T = 1000", "value": 0.62, "low": 0.55, "high": 0.71, "threshold": "at most 1", "n": 20}
    row |= {"limits": [1.0], "verdict": "reproduced"}
    return [
        {"id": f"ddim-0{at}", "verdict": kind, "sentence": f"A sentence {HOSTILE}.", "measured": [row]}
        | {"needs": ["cuda"] if at == 4 else [], "exhibits": ["deq-ddim/table-1"]}
        | {"elsewhere": [ELSEWHERE | {"measured": [row]}] if at == 4 else []}
        for at, kind in enumerate(kinds, start=1)
    ]


def write_run(results: Path) -> None:
    """Cells, verdicts, records and figures of a run under results/<scale>."""
    write_frame(results / "tables/deq-ddim/table-1.csv", cells())
    write_json(results / "claims/deq-ddim.json", verdicts())
    for at, name in enumerate(("digits/ddim/0.csv", "tissue/ddim/0.csv")):
        write_frame(results / "deq-ddim/table-1" / name, pd.DataFrame({"value": [1.0]}))
        write_sidecar(results / "deq-ddim/table-1" / name, stale=at == 1)
    write_frame(results / "deq-ddim/figure-1/digits.parquet", curves())
    write_latents(results / "deq-ddim/figure-2/digits.safetensors", channels=1)
    write_latents(results / "deq-ddim/figure-2/tissue.safetensors")
    for name in ("figure-1", "figure-2"):
        out = results / "figures/deq-ddim" / name
        records = sorted((results / f"deq-ddim/{name}").glob("*"))
        figures.draw(replace(papers.exhibit(f"deq-ddim/{name}"), spec=SPECS[f"deq-ddim/{name}"]), records, out)


def config() -> Config:
    """A config of two data sets; names are not checked, since the methods are made up."""
    digits = Dataset(
        source="digits",
        checkpoint=Checkpoint(source="zoo", name="digits-8"),
        extractor="digits",
        stands_in_for="CIFAR10",
    )
    chain = {"methods": ["ddim"], "timed": ["ddim"], "scores": {}, "times": {}}
    sections = {"table-1": chain, "figure-1": {"methods": ["ddim"], "rounds": 15, "datasets": {}}}
    sections |= {"figure-2": {"method": "ddim", "rounds": 15, "datasets": {}}, "methods": {"ddim": {"sampler": "ddim"}}}
    made = {"datasets": {"digits": digits, HOSTILE: digits}, "papers": Papers(**{"deq-ddim": sections})}
    return Config.model_construct(scale="tiny", seed=0, limits=Limits(), **made)


def find_trail(exhibit: papers.Exhibit) -> Trail | None:
    """Everything behind the three measured exhibits."""
    name = f"{exhibit.paper}/{exhibit.id}"
    if name not in SPECS:
        return None
    kept = {
        "deq-ddim/table-1": ("table-1/digits/ddim/0.csv", "table-1/tissue/ddim/0.csv"),
        "deq-ddim/figure-1": ("figure-1/digits.parquet",),
    }
    return Trail(
        config_key=f"papers.deq-ddim.{exhibit.id}",
        rules=("deq_ddim_sample",),
        commands=("deqbench run deq_ddim.scores.draw",),
        sources=("deqbench/report/figures.py", "deqbench/not-there.py"),
        records=tuple(f"results/tiny/deq-ddim/{record}" for record in kept.get(name, ())),
        printed=f"deqbench/papers/{exhibit.paper}/{exhibit.printed}" if exhibit.printed else None,
    )
