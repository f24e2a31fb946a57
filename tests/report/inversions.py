"""Made-up records of inversions, in the form that the inversion jobs leave."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deqbench import papers, scale
from deqbench.records import write_frame, write_tensors

DEMO = scale.load(Path(__file__).parents[2] / "config/demo.yaml")
EXHIBITS = {found.id: found for found in (*papers.exhibits("deq-ddim"), *papers.studies("deq-ddim"))}
ABOUT = {"paper": "deq-ddim", "unit": ""}
# Loss at the start, share of it that an update leaves, seconds of an update.
DESCENTS = {
    "algorithm-1": (30.0, 0.95, 0.2),
    "deq-inversion-paper": (30.0, 0.90, 0.3),
    "deq-1-step": (30.0, 0.91, 0.1),
}
DIRECT = {"encoding": 0.7, "sweeps": 1e-4}
EPOCHS = 60


def loss(method: str, image: int, epoch: int, T: int = 10, lr: float = 0.05) -> float:
    """The loss that is made up for a descent after so many updates: a straight line in its logarithm."""
    first, left, _ = DESCENTS[method]
    return first * (1 + 0.1 * image) * left ** (epoch * lr / 0.05 * 10 / T)


def traces(T: int = 10, dataset: str = "digits", images: int = 8, experiment: str = "table-3", **keys) -> pd.DataFrame:
    """Losses at two rates, the larger one chosen, and of two methods without one."""
    rows = []
    for image in range(images):
        about = {
            **ABOUT,
            "experiment": experiment,
            "dataset": dataset,
            "T": T,
            "image": image,
            "metric": "loss",
            **keys,
        }
        for method in DESCENTS:
            for lr in (0.01, 0.05):
                for epoch in (*range(21), *range(25, EPOCHS + 1, 5)):
                    point = {"lr": lr, "epoch": epoch, "value": loss(method, image, epoch, T, lr), "chosen": lr == 0.05}
                    rows.append({**about, "method": method, **point})
        for method, last in DIRECT.items():
            for epoch, value in enumerate((1.0, last)):
                rows.append({**about, "method": method, "lr": np.nan, "epoch": epoch, "value": value, "chosen": True})
    return pd.DataFrame(rows)


def records(T: int = 10, dataset: str = "digits", images: int = 8, experiment: str = "table-3", **keys) -> pd.DataFrame:
    """What the jobs sum up of these traces."""
    rows = []
    for image in range(images):
        about = {**ABOUT, "experiment": experiment, "dataset": dataset, "T": T, "image": image, **keys}
        for method in (*DESCENTS, *DIRECT):
            losses = (
                [loss(method, image, n, T) for n in range(EPOCHS + 1)] if method in DESCENTS else [1, DIRECT[method]]
            )
            found = {"min_loss": min(losses), "initial_loss": losses[0], "norm2": 1.0, "normal_p": 0.5, "diverged": 0.0}
            for level in (0.5, 2):
                found[f"reached_{level:g}"] = float(min(losses) <= level)
                if method in DESCENTS:
                    found[f"epochs_to_{level:g}"] = next((n for n, v in enumerate(losses) if v <= level), EPOCHS + 1)
            if method in DESCENTS:
                found |= {"lr": 0.05, "epochs": EPOCHS, "solver_gap": 1e-3}
                found |= {"min_loss_paper_rate": loss(method, image, EPOCHS, T, 0.01)}
            if method == "algorithm-1":
                found |= {"longer_loss": min(losses) * 1.5}
            rows += [{**about, "method": method, "metric": metric, "value": value} for metric, value in found.items()]
            per = " / update" if method in DESCENTS else ""
            for metric, unit in (("nfe", f"evaluations{per}"), ("vjps", f"products{per}")):
                rows.append({**about, "method": method, "metric": metric, "value": 10.0 + T, "unit": unit})
    return pd.DataFrame(rows)


def race_traces(T: int = 10, images: int = 8) -> pd.DataFrame:
    """Losses against seconds: descents by the seconds of an update, the others as they were timed."""
    found = traces(T, images=images).query("chosen")
    pace = found["method"].map({name: pace for name, (*_, pace) in DESCENTS.items()}).fillna(0.5)
    columns = ["paper", "experiment", "dataset", "method", "T", "image", "seconds", "metric", "value", "unit"]
    return found.assign(seconds=found["epoch"] * pace)[columns]


def race(T: int = 10, images: int = 8) -> pd.DataFrame:
    """Times, and who gets to the baseline's smallest loss when; the encoding never does."""
    rows = []
    for image in range(images):
        about = {**ABOUT, "experiment": "table-3", "dataset": "digits", "T": T, "image": image}
        seconds = {"algorithm-1": 12.0, "deq-inversion-paper": 9.0, "deq-1-step": 3.0, "sweeps": 0.5}
        for method in (*DESCENTS, *DIRECT):
            found = {"equal_seconds_loss": 1.0 / (1 + len(method)), "equal_seconds": 12.0}
            found |= {"reached_baseline": float(method in seconds)}
            found |= {"time_to_s": seconds[method]} if method in seconds else {}
            found |= {"epoch_s": DESCENTS[method][2]} if method in DESCENTS else {"total_s": 0.5}
            rows += [{**about, "method": method, "metric": metric, "value": value} for metric, value in found.items()]
    return pd.DataFrame(rows)


def write_pictures(path: Path, etas=(0,), longer: bool = False, channels: int = 1) -> dict[str, torch.Tensor]:
    """Targets, reconstructions and images after updates; the joint method's budget ends before the baseline's."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, channels, 8, 8, generator=generator) * 2 - 1
    tensors = {"target": target, "updates": torch.tensor([0, 1, 5, 60])}
    for eta in etas:
        for method, updates in (("algorithm-1", 4), ("deq-inversion-paper", 3), ("sweeps", 0)):
            name = f"{method}@{eta:g}"
            tensors[f"{name}/best"] = target + 0.1 * torch.randn(target.shape, generator=generator)
            if updates:
                tensors[f"{name}/updates"] = torch.rand(updates, channels, 8, 8, generator=generator)
    if longer:
        tensors["algorithm-1@0/longer"] = target * 0.5
    about = {"dataset": path.parent.name, "T": path.stem, "methods": "algorithm-1,deq-inversion-paper,sweeps"}
    about |= {"eta": ",".join(f"{eta:g}" for eta in etas), "longer": "100" if longer else ""}
    write_tensors(path, tensors, about)
    return tensors


def write_run(results: Path) -> list[Path]:
    """All records of the inversion half of a run, and their files."""
    folder = results / "deq-ddim"
    for T in (10, 20):
        write_frame(folder / f"table-3/digits/{T}.csv", records(T))
        write_frame(folder / f"table-3/digits/{T}.parquet", traces(T))
        write_pictures(folder / f"table-3/digits/{T}.safetensors", longer=T == 10)
    write_pictures(folder / "table-3/tissue/10.safetensors", channels=3)
    write_frame(folder / "table-3/race.csv", race())
    write_frame(folder / "table-3/race.parquet", race_traces())
    etas = (0, 0.5, 1)
    for make, ending in ((records, "csv"), (traces, "parquet")):
        found = [make(experiment="figure-17", eta=eta) for eta in etas]
        write_frame(folder / f"figure-17/digits/10.{ending}", pd.concat(found))
    write_pictures(folder / "figure-17/digits/10.safetensors", etas)
    exact = traces(20, experiment="figure-8").replace({"method": {"algorithm-1": "implicit"}})
    exact = exact[exact["method"] != "deq-inversion-paper"]
    write_frame(folder / "figure-8/digits/20.parquet", exact[exact["lr"].notna()])
    write_frame(folder / "ablations/digits/10.csv", records(experiment="ablations"))
    write_frame(folder / "ablations/digits/10.parquet", traces(experiment="ablations"))
    return sorted(path for path in folder.rglob("*") if path.suffix in (".csv", ".parquet", ".safetensors"))
