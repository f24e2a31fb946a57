"""The score networks' layers and parameters beside those of tables 5, 8 and 9."""

from typing import Any

import torch
from torch import nn

from deqbench.experiments.deq_score_matching.printed_layers import beside
from deqbench.experiments.rows import Row
from deqbench.score_matching.layers import ResidualCell
from deqbench.score_matching.ncsn import PRINTED_WIDTH, Input, network
from deqbench.score_matching.refinenet import RefineBlock, ResBlock
from deqbench.solvers.deq import DEQ

CHANNELS = 3
NAMES = {"ncsn": "ncsn", "two-res": "two-res", "deq": "deq-ncsn"}  # of the variants' rows
NARROW = 96  # width at which the short network has as many parameters as are printed


def layers(paper: str, levels: int) -> list[Row]:
    """Rows table, method, metric, value, unit, note: layers that are as printed, whether they fit, and parameters."""
    rows: list[Row] = []
    for variant, experiment, where in (("ncsn", "NCSN baseline", "Table 8a"), ("deq", "NCSN DEQ variant", "Table 8b")):
        with torch.device("meta"):
            net = network(variant, CHANNELS, PRINTED_WIDTH, levels)  # type: ignore[arg-type]
        rows += beside(paper, experiment, where, described(net), method=NAMES[variant], table="table-8")
    return [*rows, *_block(levels), *_parameters(levels)]


def described(net: nn.Module) -> list[str]:
    """The layers of a network in the settings' words, in the order in which they are passed."""
    found: list[str] = []
    for module in net.children():
        for part in _parts(module):
            if isinstance(part, nn.Conv2d):
                words = f"3x3 Conv2D, {part.in_channels} -> {part.out_channels}"
                found.append(f"{words} channels" if part.in_channels == CHANNELS else words)
            elif isinstance(part, ResBlock):
                down = "ResBlock down" if part.down else "ResBlock"
                found.append(f"{down}, {part.channels} -> {part.out}")
            elif isinstance(part, DEQ):
                cell: Any = part.cell
                found.append("DEQ-ResBlock, {1} -> {0}".format(*cell.first.weight.shape))
            elif isinstance(part, RefineBlock):
                found.append(f"RefineBlock, {part.channels[-1]} -> {part.out}")
    return found


def _parts(module: nn.Module) -> list[nn.Module]:
    """The module, or those of the lists in it."""
    if not isinstance(module, nn.ModuleList | Input):
        return [module]
    return [part for one in module.children() for part in _parts(one)]


def _block(levels: int) -> list[Row]:
    """Table 9: the map by its values, and g by the letter, which does not run."""
    about: dict[str, Any] = {"table": "table-9", "unit": "", "note": ""}
    cell = ResidualCell(4)
    z, g = (torch.rand(2, 4, 5, 5, generator=torch.Generator().manual_seed(k)) for k in range(2))
    constant = (cell(z, g) - cell(z, 0 * g) - g).abs().max()
    rows = [{**about, "method": "map", "metric": "runs", "value": float(constant < 1e-6)}]
    with torch.device("meta"):
        taken = {"g-printed": 2 * PRINTED_WIDTH, "g-table-8": PRINTED_WIDTH}
        inputs = {name: Input(CHANNELS, PRINTED_WIDTH, levels, each) for name, each in taken.items()}
        x, level = torch.zeros(1, CHANNELS, 8, 8), torch.zeros(1, dtype=torch.int64)
    for method, made in inputs.items():
        note = ""
        try:
            made(x, level)
        except RuntimeError as error:
            note = " ".join(str(error).split())[:160]
        rows.append({**about, "method": method, "metric": "runs", "value": float(not note), "note": note})
    return rows


def _parameters(levels: int) -> list[Row]:
    """Millions of parameters of each variant at the printed width, and at the one that the printed number fits."""
    rows: list[Row] = []
    for width, metric in ((PRINTED_WIDTH, "printed_width_parameters"), (NARROW, "narrow_parameters")):
        for variant in ("ncsn", "two-res", "deq"):
            with torch.device("meta"):
                net = network(variant, CHANNELS, width, levels)  # type: ignore[arg-type]
            count = sum(parameter.numel() for parameter in net.parameters()) / 1e6
            about = {"table": "parameters", "unit": "M", "note": f"n = {width}"}
            rows.append({**about, "method": NAMES[variant], "metric": metric, "value": count})
    return rows
