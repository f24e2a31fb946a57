"""The noise predictor: one wrapper around the network, which counts every evaluation and splits large batches."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

Prediction = Literal["epsilon", "v_prediction", "sample"]
# oneDNN builds the kernels of each batch size apart: some 0.15 ms a convolution the first time, and over again when
# more than about 20 sizes take turns. Where a network is so small that a few images more cost less than that, batches
# come in multiples of ALIKE.
ALIKE = 8
SMALL = 2e8  # weights times pixels, about the multiply-adds of an image


class NoisePredictor:
    """eps(x, t) of a diffusers network. No algorithm reaches the network but through it, so its counts are the NFE.

    net: ((M, C, H, W), (M,)) -> an object with `.sample`, or a tensor. alpha_bar: (train_steps,) float64.
    max_batch: images in one call of the network; more are split.
    """

    def __init__(self, net: Any, alpha_bar: Tensor, prediction: Prediction = "epsilon", max_batch: int = 256) -> None:
        self.net, self.alpha_bar, self.prediction, self.max_batch = net, alpha_bar, prediction, max_batch
        self.evaluations = 0  # images passed through the network, without those that fill a batch up
        self.calls = 0
        self._weights = sum(weight.numel() for weight in net.parameters()) if isinstance(net, nn.Module) else math.inf

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """x: (M, C, H, W) at timesteps t: (M,) int64 -> predicted noise, (M, C, H, W)."""
        self.evaluations += len(x)
        parts = [self._call(part, s) for part, s in zip(x.split(self.max_batch), t.split(self.max_batch), strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _call(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        filling = self._filling(x)
        if filling:
            x, t = torch.cat([x, x[-1:].expand(filling, *x.shape[1:])]), torch.cat([t, t[-1:].expand(filling)])
        out = self.net(x, t)
        out = out if isinstance(out, Tensor) else out.sample
        if filling:
            x, t, out = x[:-filling], t[:-filling], out[:-filling].clone()  # or callers would hold the rest as well
        if self.prediction == "epsilon":
            return out
        a = self.alpha_bar.to(x.device)[t].to(x.dtype).view(-1, *[1] * (x.ndim - 1))
        if self.prediction == "v_prediction":
            return a.sqrt() * out + (1 - a).sqrt() * x
        return (x - a.sqrt() * out) / (1 - a).sqrt()

    def _filling(self, x: Tensor) -> int:
        """The number of images that fill this batch up, `max_batch` in all at most."""
        small = self._weights * x[0, 0].numel() <= SMALL
        if not small or len(x) == 1 or x.device.type != "cpu" or torch.is_grad_enabled():
            return 0
        return min(-len(x) % ALIKE, self.max_batch - len(x))
