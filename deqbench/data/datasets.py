"""The data sets by name, each with its splits fixed once. Those of images are float32 in [-1, 1], (N, C, H, W)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deqbench.data import densities, sources, tables, tasks
from deqbench.data.splits import SPLITS, Dataset, load, save
from deqbench.errors import UserError, unknown

__all__ = ["DATASETS", "SPLITS", "Dataset", "all_symmetries", "build", "dihedral", "load", "save"]


def digits() -> Dataset:
    """Scikit-learn's 1,797 handwritten digits, 8x8 grey: 1,257 train and 180 tuning (1,437 in all), 360 test."""
    from sklearn.model_selection import train_test_split

    images, labels, _ = tasks.digits()
    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, tuning = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)
    return Dataset(images[train], images[tuning], images[test], False, labels[train], labels[test])


TISSUE_SIZE = 16
# Rows of the half-size picture, a gap of one patch between the regions.
TISSUE_ROWS = {"train": (0, 144), "tuning": (160, 192), "test": (208, 256)}


def tissue() -> Dataset:
    """Patches 16x16 of scikit-image's immunohistochemistry picture at half size, every 2 pixels of three regions."""
    import skimage.data
    import skimage.transform

    picture = skimage.transform.downscale_local_mean(skimage.data.immunohistochemistry(), (2, 2, 1))  # (256, 256, 3)
    picture = torch.from_numpy((picture / 127.5 - 1).astype(np.float32)).permute(2, 0, 1)

    def patches(rows: tuple[int, int]) -> Tensor:
        region = picture[:, slice(*rows)]
        windows = region.unfold(1, TISSUE_SIZE, 2).unfold(2, TISSUE_SIZE, 2)  # (3, H', W', 16, 16)
        return windows.permute(1, 2, 0, 3, 4).flatten(0, 1).contiguous()

    train, tuning, test = (patches(TISSUE_ROWS[split]) for split in SPLITS)
    return Dataset(train, tuning, test, symmetric=True)


def patches() -> Dataset:
    """Colour patches 64x64 of nine photographs, labelled by the photograph; regions as in `deqbench.data.patches`."""
    from deqbench.data.patches import labelled

    cut = list(labelled())
    images = {split: torch.cat([part for its, part, _ in cut if its == split]) for split in SPLITS}
    labels = {split: torch.cat([part for its, _, part in cut if its == split]) for split in ("train", "test")}
    return Dataset(images["train"], images["tuning"], images["test"], True, labels["train"], labels["test"])


def cifar10(root: str) -> Dataset:
    """CIFAR-10 from torchvision under `root`, downloaded when absent; its last 5,000 training images are for tuning."""
    from torchvision.datasets import CIFAR10

    def images(train: bool) -> Tensor:
        try:
            raw = CIFAR10(root, train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{root}: expected CIFAR-10 or a connection to download it; found: {error}") from error
        return torch.from_numpy(raw.data).permute(0, 3, 1, 2).float() / 127.5 - 1

    train = images(True)
    return Dataset(train[:-5000], train[-5000:], images(False), symmetric=False)


def mnist(root: str) -> Dataset:
    """MNIST from torchvision under `root`, downloaded when absent; its last 5,000 training images are for tuning."""
    from torchvision.datasets import MNIST

    def part(train: bool) -> tuple[Tensor, Tensor]:
        try:
            raw = MNIST(root, train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise UserError(f"{root}: expected MNIST or a connection to download it; found: {error}") from error
        return raw.data[:, None].float() / 127.5 - 1, raw.targets

    (images, labels), (test, test_labels) = part(True), part(False)
    return Dataset(images[:-5000], images[-5000:], test, False, labels[:-5000], test_labels, labels[-5000:])


PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def folder(root: str, size: int) -> Dataset:
    """Square centre crops, `size` pixels wide, of the pictures under `root`, in the order of their names: 80/10/10 %.

    UserError: fewer than ten pictures, or one that cannot be read.
    """
    from PIL import Image
    from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

    paths = sorted(p for p in Path(root).rglob("*") if p.suffix.lower() in PICTURES)
    if len(paths) < 10:
        kinds = ", ".join(PICTURES)
        raise UserError(f"{root}: expected a folder with at least 10 pictures ({kinds}); found {len(paths)}")

    def image(path: Path) -> Tensor:
        try:
            picture = Image.open(path).convert("RGB")
        except OSError as error:
            raise UserError(f"{path}: expected a picture; found: {error}") from error
        side = min(picture.size)
        return pil_to_tensor(resize(center_crop(picture, [side, side]), [size, size])).float() / 127.5 - 1

    images = torch.stack([image(path) for path in paths])
    first, second = int(0.8 * len(images)), int(0.9 * len(images))
    return Dataset(images[:first], images[first:second], images[second:], symmetric=False)


DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "tissue": tissue,
    "patches": patches,
    "cifar10": cifar10,
    "mnist": mnist,
    "folder": folder,
    "table": tables.table,
    "csv": tables.csv,
    "gaussian": densities.gaussian,
    "density": densities.density,
    "tasks": tasks.tasks,
}


def build(source: str, **options: object) -> Dataset:
    """The data set of that source, a name in `DATASETS`. UserError: unknown source or option, or one out of bounds."""
    if source not in DATASETS:
        raise unknown("dataset source", source, DATASETS)
    section = sources.parse({"source": source, **options}, f"dataset source {source}")
    return DATASETS[source](**section.model_dump(exclude={"source"}))


def dihedral(images: Tensor, which: Tensor) -> Tensor:
    """Each image turned by `which % 4` quarters and mirrored where `which >= 4`.

    images: (N, C, H, H); which: (N,) in 0..7.
    """
    turned = torch.stack([torch.rot90(images, k, (2, 3)) for k in range(4)])
    turned = torch.cat([turned, turned.flip(-1)])  # (8, N, C, H, H)
    return turned[which, torch.arange(len(images))]


def all_symmetries(images: Tensor) -> Tensor:
    """The eight turned and mirrored copies of each image: (8 N, C, H, H)."""
    return torch.cat([dihedral(images, torch.full((len(images),), k)) for k in range(8)])
