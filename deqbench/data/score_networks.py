"""Noise-conditional score networks in a folder: config.json and model.safetensors, every weight accounted for."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.errors import UserError
from deqbench.records import read_json, write_json, write_tensors
from deqbench.score_matching import langevin, ncsn

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save(net: nn.Module, config: dict[str, Any], folder: Path) -> None:
    """Writes a network, weights in half precision. config: `network`, arguments of ncsn.network; `sigmas`, of
    langevin.geometric.
    """
    write_json(folder / CONFIG, config)
    write_tensors(folder / WEIGHTS, {name: tensor.half() for name, tensor in net.state_dict().items()})


def load(folder: Path) -> tuple[nn.Module, Tensor]:
    """The network in float32 and its levels of noise. UserError: missing or of another form."""
    config = read_json(folder / CONFIG)
    net = ncsn.network(**config["network"])
    try:
        weights = {name: tensor.to(torch.float32) for name, tensor in load_file(folder / WEIGHTS).items()}
        net.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{folder / WEIGHTS}: expected the weights of a score network; found: {error}") from error
    return net.eval(), langevin.geometric(**config["sigmas"])
