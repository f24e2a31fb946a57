"""Feature extractors: a small classifier per embedded data set, Inception at paper scale.

The features are the penultimate layer before its nonlinearity, standardised on the training images: dead ReLU units
would make the covariance singular.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.errors import UserError
from deqbench.records import read_json

Extractor = Callable[[Tensor], Tensor]  # (N, C, H, W) in [-1, 1] -> (N, D) float32


class SmallClassifier(nn.Module):
    """Four convolutions and one hidden layer of `units`: (N, C, H, W) -> (N, classes) logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, classes: int, width: int = 32, units: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(32 * width, units)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(units, classes)
        self.register_buffer("mean", torch.zeros(units))
        self.register_buffer("std", torch.ones(units))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(torch.relu(self.hidden(self.body(images)))))
        return logits

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, units), standardised on the training images."""
        batches = [self.hidden(self.body(batch)) for batch in images.split(512)]
        return (torch.cat(batches) - self.mean) / self.std

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Sets the mean and standard deviation of the features to those of these images."""
        features = self.features(images) * self.std + self.mean
        self.mean.copy_(features.mean(0))
        self.std.copy_(features.std(0))


def load_classifier(folder: Path) -> SmallClassifier:
    """The classifier in a zoo folder (config.json, model.safetensors). UserError: missing or of another form."""
    config = read_json(Path(folder) / "config.json")
    net = SmallClassifier(**config)
    weights = Path(folder) / "model.safetensors"
    try:
        net.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{weights}: expected the weights of a SmallClassifier; found: {error}") from error
    return net.eval()


def inception(images: Tensor) -> Tensor:
    """Clean-fid's Inception-v3 features (N, 2048) of images (N, 3, H, W) in [-1, 1]; downloads its weights once."""
    from cleanfid.features import feature_extractor, get_reference_statistics  # noqa: F401
    from cleanfid.resize import make_resizer

    net = feature_extractor(mode="clean", device=torch.device("cpu"), use_dataparallel=False)
    resize = make_resizer("PIL", False, "bicubic", (299, 299))
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    features = []
    for start in range(0, len(pixels), 64):
        batch = torch.stack([torch.from_numpy(resize(image)).permute(2, 0, 1) for image in pixels[start : start + 64]])
        with torch.inference_mode():
            features.append(net(batch).float().cpu())
    return torch.cat(features)


def load_extractor(source: str) -> Extractor:
    """The extractor named by a zoo folder's path, or clean-fid's Inception for the word `inception`."""
    return inception if source == "inception" else load_classifier(Path(source)).features
