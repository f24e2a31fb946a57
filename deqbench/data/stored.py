"""Networks in diffusers' format, read from a folder with every weight accounted for."""

import json
from pathlib import Path
from typing import Any

import torch

from deqbench.errors import UserError
from deqbench.records import read_json

WEIGHTS = "diffusion_pytorch_model.safetensors"


def locate(folder: Path, subfolder: str | None, called: str | None, usual: str) -> tuple[Path, str]:
    """The folder of the network itself and its name in errors. UserError: no config or no weights in it, or cut short.

    subfolder: where the network lies, unless `checkpoint.json` says so or there is one of the `usual` name. called: the
    name of `folder` in errors.
    """
    if (folder / "checkpoint.json").is_file():
        subfolder = subfolder or read_json(folder / "checkpoint.json").get("subfolder")
    subfolder = subfolder or (usual if (folder / usual).is_dir() else None)
    place = folder / (subfolder or "")
    name = "/".join(filter(None, (called or str(folder), subfolder)))
    weights = place / WEIGHTS
    if missing := [path.name for path in (place / "config.json", weights) if not path.is_file()]:
        raise UserError(f"{name}: expected config.json and {WEIGHTS}; found no {' and no '.join(missing)}")
    _check_form(weights, name)
    return place, name


def network(form: Any, place: Path, name: str) -> Any:
    """The network of diffusers' class `form`, float32, in evaluation mode, whose every weight comes from the file.

    UserError: the config is not its, weights are missing, superfluous, of other shapes, or not finite.
    """
    name = f"{name}/{WEIGHTS}"
    options = {"use_safetensors": True, "local_files_only": True, "low_cpu_mem_usage": False}
    try:
        net, info = form.from_pretrained(place, torch_dtype=torch.float32, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).replace(f"{place}", name).split())[:300]
        raise UserError(f"{name}: expected the weights of the network in config.json; found: {reason}") from error
    for kind in ("missing_keys", "unexpected_keys"):  # diffusers would draw what is missing at random
        if info[kind]:
            first = sorted(info[kind])[0]
            words = f"{len(info[kind])} {kind.replace('_keys', '')}, such as {first}"
            raise UserError(f"{name}: expected the weights of the network in config.json; found {words}")
    if not all(p.isfinite().all() for p in net.parameters()):
        raise UserError(f"{name}: expected finite weights; found NaN or infinity")
    return net.eval()


def _check_form(weights: Path, name: str) -> None:
    """Reads the header and the length only, so that a file cut short is named as such. UserError as for `locate`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="pt"):
            return
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"{name}/{weights.name}: expected a whole safetensors file; found: {error}") from error
