"""Networks in diffusers' format: from the zoo, a folder or a hub, checked before they are used."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import nn

from deqbench import provenance, zoo
from deqbench.data import autoencoders, stored
from deqbench.data.sources import Checkpoint
from deqbench.diffusion.network import Prediction
from deqbench.diffusion.schedule import Schedule
from deqbench.errors import UserError, unknown
from deqbench.records import read_json, write_json

WANTED = ("*.json", "*.safetensors")  # never a pickle


@dataclass(frozen=True)
class Network:
    """A noise-prediction network and what its chain needs."""

    net: nn.Module
    schedule: Schedule
    scheduler: Any  # diffusers' DDIMScheduler of the same config, clip_sample off
    shape: tuple[int, int, int]  # (C, H, W)


def fetch(checkpoint: Checkpoint, out: Path, check: Callable[[Any], object] | None = None) -> dict[str, str]:
    """Puts the checkpoint into the folder `out`, whole and loaded once, or not at all; its weights' checksums by file.

    check: called with what `load`, or for an autoencoder `autoencoders.load`, made of it before anything reaches `out`,
    and may raise. UserError: unknown zoo model, no such folder or repository, no safetensors in it, a checksum that
    differs, or as for `load`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        folder = Path(temporary) / "checkpoint"
        pinned = [checkpoint.sha256]
        if checkpoint.source == "zoo":
            source = zoo.path(checkpoint.name)
            pinned.append(read_json(source / "card.json")["sha256"])
            _copy(source, folder)
        elif checkpoint.source == "folder":
            _copy(Path(checkpoint.name), folder)
        else:
            _download(checkpoint, folder)
        checksums = _checksums(folder, pinned, checkpoint.name)
        write_json(folder / "checkpoint.json", {**checkpoint.model_dump(), "sha256": checksums})
        loader = autoencoders.load if checkpoint.form == "autoencoder" else load
        loaded = loader(folder, called=checkpoint.name)
        if check:
            check(loaded)
        if out.exists():
            out.rename(Path(temporary) / "before")
        folder.rename(out)
    return checksums


def _copy(source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise UserError(f"{source}: expected a checkpoint's folder in diffusers' format; found none")
    files = [path for pattern in WANTED for path in source.rglob(pattern)]
    for path in files:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def _download(checkpoint: Checkpoint, folder: Path) -> None:
    """A hub's repository, at a revision, with every file's checksum compared with the hub's own list."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError

    api, wanted = HfApi(), list(WANTED)
    if checkpoint.form == "autoencoder" and checkpoint.subfolder:  # a pipeline's other networks can be gigabytes
        wanted = [f"{checkpoint.subfolder}/{pattern}" for pattern in WANTED]
    try:
        revision = api.model_info(checkpoint.name, revision=checkpoint.revision).sha
        api.snapshot_download(
            checkpoint.name, revision=revision, local_dir=folder, allow_patterns=wanted, tqdm_class=_patience()
        )
        listed = api.verify_repo_checksums(checkpoint.name, revision=revision, local_dir=folder)
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{checkpoint.name}: expected a repository of {api.endpoint}; found: {reason}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if listed.mismatches:
        bad = listed.mismatches[0]
        raise UserError(f"{checkpoint.name}/{bad['path']}: expected checksum {bad['expected']}; found {bad['actual']}")


def _patience() -> type:
    """A progress bar that draws nothing and loses patience with a server that starts a file over and over again.

    huggingface_hub tries again without end as long as any bytes arrive; what starts over is taken back from the bar.
    """
    from huggingface_hub.utils import tqdm

    class Patience(tqdm):  # type: ignore[type-arg, misc]
        starts = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            Patience.starts += (n or 0) < 0
            if Patience.starts > 3:
                raise OSError("a file that was cut short, and started over, four times")
            super().update(n)

    return Patience


def _checksums(folder: Path, pinned: list[dict[str, str]], name: str) -> dict[str, str]:
    weights = sorted(folder.rglob("*.safetensors"))
    checksums = {path.relative_to(folder).as_posix(): provenance.sha256(path) for path in weights}
    if not checksums:
        raise UserError(f"{name}: expected weights in safetensors; found none")
    for file, checksum in (item for expected in pinned for item in expected.items()):
        if checksums.get(file) != checksum:
            raise UserError(f"{name}/{file}: expected sha256 {checksum}; found {checksums.get(file, 'no such file')}")
    return checksums


def load(folder: Path, subfolder: str | None = None, *, called: str | None = None) -> Network:
    """The network in a folder, float32, in evaluation mode. UserError: missing, cut short, or of another form.

    subfolder: where the network lies, unless `fetch` wrote it down or it is `unet`. called: the name in errors.
    """
    from diffusers import UNet2DModel

    folder = Path(folder)
    place, name = stored.locate(folder, subfolder, called, "unet")
    net = stored.network(UNet2DModel, place, name)
    size = net.config["sample_size"]
    if size is None:
        raise UserError(f"{name}/config.json: sample_size: expected the width of an image; found none")
    height, width = (size, size) if isinstance(size, int) else size
    scheduler = _scheduler(folder, called or str(folder))
    return Network(net, Schedule.of(scheduler), scheduler, (net.config["in_channels"], height, width))


def _scheduler(folder: Path, name: str) -> Any:
    """Diffusers' DDIMScheduler of the config that lies in `scheduler/` or beside the network, without clipping."""
    from diffusers import DDIMScheduler

    inner = "scheduler/scheduler_config.json" if (folder / "scheduler").is_dir() else "scheduler_config.json"
    path, settings = folder / inner, {}
    try:
        if path.is_file():
            settings = json.loads(path.read_text(encoding="utf-8"))
        if settings.get("clip_sample", False) or settings.get("thresholding", False):
            print("clip_sample is switched off: a clipped step is no affine map of eps", file=sys.stderr)
        ours = {"clip_sample": False, "thresholding": False, "timestep_spacing": "leading", "steps_offset": 0}
        scheduler = DDIMScheduler.from_config({**settings, **ours})
    except (OSError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{name}/{inner}: expected the config of a diffusers scheduler; found: {reason}") from error
    kind = scheduler.config.prediction_type
    if kind not in get_args(Prediction):
        raise unknown(f"{name}/{inner}: prediction_type", kind, get_args(Prediction))
    return scheduler


def check_shape(network: Network, shape: tuple[int, ...], name: str) -> None:
    """UserError unless the network takes images of that shape (C, H, W)."""
    if tuple(network.shape) != tuple(shape):
        takes, wanted = ("x".join(map(str, s)) for s in (network.shape, shape))
        raise UserError(
            f"datasets.{name}.checkpoint: expected a network for images {wanted} (C x H x W); found one for {takes}"
        )
