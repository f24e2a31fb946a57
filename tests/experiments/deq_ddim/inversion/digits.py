"""Small inversions of the shipped digits network."""

import pandas as pd

from deqbench.experiments.deq_ddim.shared import Inverter

T, SEED = 4, 3
METHODS = {
    "algorithm-1": Inverter(inverter="descent"),
    "one-step": Inverter(inverter="descent", options={"gradient": "phantom"}),
    "from-encoding": Inverter(inverter="descent", start="encoding"),
    "encoding": Inverter(inverter="encoding"),
}


def metric(frame: pd.DataFrame, method: str, name: str) -> list[float]:
    """The values of one metric of a method, by image."""
    rows = frame[(frame["method"] == method) & (frame["metric"] == name)]
    return rows.sort_values("image")["value"].tolist()
