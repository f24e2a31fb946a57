"""The images whose latents are looked for, with the latents that made them, and their files."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from deqbench.decoder_inversion.codec import quantised
from deqbench.errors import UserError

SPLITS = ("tuning", "test")
PARTS = ("z", "x", "labels")


@dataclass(frozen=True)
class Targets:
    """N latents and the images that D makes of them; a video has an axis of frames F after N."""

    z: Tensor  # (N, c, h, w) float32, scaled
    x: Tensor  # (N, 3, H, W) float32, D(z) in fp32, not cut to [-1, 1]
    labels: Tensor  # (N,) int64, the condition or the data set's label
    x_T: Tensor | None = None  # (N, c, h, w), what the latent model started from

    def images(self, quantised_to_8_bit: bool) -> Tensor:
        """The images that inverters are given: x, or what an 8-bit file keeps of it."""
        return quantised(self.x) if quantised_to_8_bit else self.x

    def first(self, count: int) -> "Targets":
        """The first `count` of them."""
        x_T = None if self.x_T is None else self.x_T[:count]
        return Targets(self.z[:count], self.x[:count], self.labels[:count], x_T)


def tensors(targets: dict[str, Targets]) -> dict[str, Tensor]:
    """The entries of a file of both splits' targets."""
    entries: dict[str, Tensor] = {}
    for split, held in targets.items():
        entries |= {f"{split}.z": held.z, f"{split}.x": held.x, f"{split}.labels": held.labels}
        if held.x_T is not None:
            entries[f"{split}.x_T"] = held.x_T
    return entries


def load(path: Path) -> dict[str, Targets]:
    """The targets in a file of such entries, by split. UserError: the file is missing, cut short or of another form."""
    try:
        entries = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected targets in safetensors; found: {error}") from error
    for name in (f"{split}.{part}" for split in SPLITS for part in PARTS):
        if name not in entries:
            raise UserError(f"{path}: expected the entry '{name}'; found none")
    return {
        split: Targets(**{part: entries.get(f"{split}.{part}") for part in (*PARTS, "x_T")})  # type: ignore[arg-type]
        for split in SPLITS
    }
