"""The noise predictor: one wrapper around the network, which counts every evaluation and splits large batches."""

from typing import Any, Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "sample"]


class NoisePredictor:
    """eps(x, t) of a diffusers network. No algorithm reaches the network but through it, so its counts are the NFE.

    net: ((M, C, H, W), (M,)) -> an object with `.sample`, or a tensor. alpha_bar: (train_steps,) float64.
    max_batch: images in one call of the network; more are split.
    """

    def __init__(self, net: Any, alpha_bar: Tensor, prediction: Prediction = "epsilon", max_batch: int = 256) -> None:
        self.net, self.alpha_bar, self.prediction, self.max_batch = net, alpha_bar, prediction, max_batch
        self.evaluations = 0  # images passed through the network
        self.calls = 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (M, C, H, W) at timesteps t: (M,) int64 -> predicted noise, (M, C, H, W)."""
        self.evaluations += len(x)
        parts = [self._call(part, s) for part, s in zip(x.split(self.max_batch), t.split(self.max_batch), strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _call(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        out = self.net(x, t)
        out = out if isinstance(out, Tensor) else out.sample
        if self.prediction == "epsilon":
            return out
        a = self.alpha_bar.to(x.device)[t].to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        if self.prediction == "v_prediction":
            return a.sqrt() * out + (1 - a).sqrt() * x
        return (x - a.sqrt() * out) / (1 - a).sqrt()
