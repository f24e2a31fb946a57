"""Layers of a network in the words of the paper's settings, set beside the printed ones."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from torch import nn

from deqbench import papers
from deqbench.experiments.rows import Row

NAMES = {nn.ReLU: "ReLU", nn.Softplus: "Softplus", nn.Tanh: "Tanh"}


def beside(paper: str, experiment: str, where: str, made: Sequence[str], *, method: str, table: str) -> list[Row]:
    """Rows layers and as_printed: how many are printed, and the share of them that the network has at their place.

    experiment, where: of the settings; made: the network's layers in the settings' words. The note names the first that
    differs.
    """
    settings = papers.settings(paper)
    mine = settings[(settings["experiment"] == experiment) & settings["where"].str.startswith(where)]
    printed = mine.loc[mine["name"].str.contains("layer"), "value"].tolist()
    differ = [(old, new) for old, new in zip_longest(printed, made) if old != new]
    note = f"printed: {differ[0][0]}; here: {differ[0][1]}" if differ else ""
    share = sum(old == new for old, new in zip(printed, made, strict=False)) / max(len(printed), len(made))
    about: dict[str, Any] = {"table": table, "method": method, "unit": ""}
    return [
        {**about, "metric": "layers", "value": float(len(printed)), "note": ""},
        {**about, "metric": "as_printed", "value": share, "note": note},
    ]


def described(layers: Sequence[nn.Module], widths: dict[int, str], dense: dict[int, str]) -> list[str]:
    """Convolutions and dense layers, each with the activation behind it, in the settings' words.

    widths: the name of a number of channels; dense: of a number of features.
    """
    found: list[str] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            found.append(_convolution(layer, widths))
        elif isinstance(layer, nn.Linear):
            found.append(f"dense {dense.get(layer.out_features, '(width not stated)')}")
        elif type(layer) in NAMES:
            found[-1] += f", {NAMES[type(layer)]}"
    return found


def _convolution(layer: Any, widths: dict[int, str]) -> str:
    height, width = layer.kernel_size
    turned = isinstance(layer, nn.ConvTranspose2d)
    words = f"{height}x{width} {'transposed ' if turned else ''}conv, {widths[layer.out_channels]}"
    words += f", stride {layer.stride[0]}x{layer.stride[1]}, padding {layer.padding[0]}"
    return words + (f", output padding {layer.output_padding[0]}" if turned else "")
