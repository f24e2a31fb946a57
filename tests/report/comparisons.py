"""Made-up records of the comparison of samplers."""

from pathlib import Path

import pandas as pd

from deqbench import papers, scale

ABOUT = {"paper": "deq-ddim", "experiment": "comparison", "unit": ""}
STUDY = papers.exhibit("deq-ddim/comparison")
DEMO = scale.load(Path(__file__).parents[2] / "config/demo.yaml")


def records(T: int = 50, dataset: str = "digits") -> pd.DataFrame:
    """40 images of three methods: secant's error is 1e-4 but for one image; the paper's takes twice or four times its
    rounds until right, and never gets image 3 right."""
    rows = []
    for image in range(40):
        secant = 0.5 if image == 7 else 1e-4 + image * 1e-6
        for method, error, seconds, times in (
            ("ddim", 0.0, 2.0, 1),
            ("secant", secant, 0.5, 1),
            ("deq-ddim-paper", 0.002, 1.0, 2 if image % 2 else 4),
        ):
            reached = float(method != "deq-ddim-paper" or image != 3)
            values = {"rounds_oracle": 8.0 * times, "nfe_oracle": 3.0, "reached": reached, "rounds": 9.0, "nfe": 3.5}
            values |= {"x0_error": error, "above": float(error >= 1e-3), "time_s": seconds}
            keys = {**ABOUT, "dataset": dataset, "T": T, "method": method, "image": image}
            rows += [{**keys, "metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(rows)


def traces() -> pd.DataFrame:
    """Three images, counted and timed; the second ends after two rounds, the third after one."""
    keys = {**ABOUT, "dataset": "mixture-64", "T": 50, "method": "secant", "metric": "x0_error"}
    ends, rows = {0: 3, 1: 2, 2: 1}, []
    for image, last in ends.items():
        for number in range(1, last + 1):
            point = {**keys, "image": image, "round": number, "value": (1 + image) * 0.1**number}
            rows += [{**point, "nfe": 0.5 * number + image}, {**point, "seconds": 2.0 * number + image}]
    return pd.DataFrame(rows)
