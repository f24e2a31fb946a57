"""Gradients and iterates in 16 bit, beside autograd and with faults planted by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deqbench.decoder_inversion.codec import Codec, decibel, nmse
from deqbench.experiments.decoder_inversion.iterates.config import PixelGradient
from deqbench.experiments.decoder_inversion.iterates.half_precision import drift, gradients, pixel_gradient, seconds
from deqbench.experiments.decoder_inversion.shared import Inverter
from tests.decoder_inversion import tiny


class Scaled(nn.Module):
    """D(z) = z times a weight for each entry, E its inverse; images and latents are (B, 1, 2, 2)."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights).view(1, 2, 2))
        self.config: dict[str, float] = {}

    def encode(self, x):
        return SimpleNamespace(latents=x / self.weight)

    def decode(self, z):
        return SimpleNamespace(sample=z * self.weight)


def of(rows, method, metric):
    return [row["value"] for row in rows if row["method"] == method and row["metric"] == metric]


def study(net, variants, x, z, updates=2):
    return list(gradients(net, x, z, variants, updates=updates, lr=0.01, max_batch=8))


@pytest.mark.parametrize("mean", [False, True])
def test_the_gradient_is_that_of_autograd(mean):
    net, generator = tiny.vae(), torch.Generator().manual_seed(0)
    z, x = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 3, 16, 16, generator=generator)
    leaf = z.clone().requires_grad_()
    loss = (net.decode(leaf / 0.5).sample - x).square()
    (expected,) = torch.autograd.grad(loss.sum() / (768 if mean else 1), leaf)
    found, _ = pixel_gradient(Codec(net), x, z, mean=mean, scale=4.0)
    torch.testing.assert_close(found / 4, expected, rtol=1e-4, atol=1e-7)


def test_entries_that_underflow_are_counted():
    # Pixel errors of 1 and weights of 1 and 1e-5: half of the gradient, 2e-8 * 2 in fp16, is below its least number.
    net, x = Scaled(1.0, 1.0, 1e-5, 1e-5), torch.zeros(1, 1, 2, 2)
    z = torch.full((1, 1, 2, 2), 1.0)
    x = torch.tensor([[[[0.0, 0.0], [-1e-3, -1e-3]]]])
    rows = study(
        net,
        {
            "fp32": PixelGradient(),
            "fp16": PixelGradient(precision="fp16", state="fp16"),
            "fp16-scaled": PixelGradient(precision="fp16", state="fp16", scale=1024.0),
        },
        x,
        z,
    )
    assert of(rows, "fp32", "zero_share") == [0]
    assert of(rows, "fp16", "zero_share") == [0.5]
    assert of(rows, "fp16-scaled", "zero_share") == [0]


def test_entries_that_overflow_are_counted():
    net, z = Scaled(300.0, 1.0, 1.0, 1.0), torch.ones(1, 1, 2, 2)
    x = torch.tensor([[[[-100.0, 0.0], [0.0, 0.0]]]])  # 2 * 400 * 300 is beyond fp16, the others are not
    rows = study(net, {"fp16": PixelGradient(precision="fp16", state="fp32"), "fp32": PixelGradient()}, x, z)
    assert of(rows, "fp16", "nonfinite_share") == [0.25]
    assert of(rows, "fp32", "nonfinite_share") == [0]
    assert of(rows, "fp16", "falls") == [0]  # one entry is lost to it


def test_the_gradient_of_32_bit_points_where_it_points():
    net = tiny.vae()
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    rows = study(net, {"fp32": PixelGradient(), "mean": PixelGradient(mean=True)}, torch.zeros(2, 3, 16, 16), z)
    assert of(rows, "fp32", "cosine") == pytest.approx([1, 1]) and of(rows, "mean", "cosine") == pytest.approx([1, 1])
    assert of(rows, "fp32", "falls") == [1, 1] and max(of(rows, "fp32", "loss_left")) < 1


def test_updates_are_those_of_torch_s_adam():
    net, x = Scaled(1.0, 2.0, 3.0, 4.0), torch.zeros(1, 1, 2, 2)
    z = torch.ones(1, 1, 2, 2)
    rows = study(net, {"scaled": PixelGradient(scale=64.0)}, x, z, updates=5)
    leaf = z.clone().requires_grad_()
    adam = torch.optim.Adam([leaf], lr=0.01)
    for _ in range(5):
        adam.zero_grad()
        (leaf * net.weight.detach()).square().sum().backward()
        adam.step()
    left = (leaf * net.weight).square().sum() / (z * net.weight).square().sum()
    assert of(rows, "scaled", "loss_left") == pytest.approx([left.item()], rel=1e-5)


def test_drift_follows_every_iterate():
    net = tiny.vae()
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x = Codec(net).decode(z).detach()
    methods = {
        name: Inverter(inverter="forward", precision=precision, options={"rho": 0.1})
        for name, precision in (("wide", "fp32"), ("narrow", "bf16"))
    }
    rows = list(drift(net, x, z, methods, iterations=4, at=[0, 4], generator=torch.Generator(), max_batch=8))
    start = decibel(nmse(Codec(net).encode(x), z)).tolist()
    first = [row["value"] for row in rows if row["iterations"] == 0 and row["metric"] == "nmse_db"]
    assert first[:2] == pytest.approx(start, rel=1e-5)
    assert first[2:] != first[:2] and first[2:] == pytest.approx(start, abs=0.5)
    assert {row["iterations"] for row in rows if row["metric"] == "nmse_db"} == set(range(5))
    assert {row["iterations"] for row in rows if row["metric"] == "residual_left"} == {0, 4}
    at_start = [row["value"] for row in rows if row["metric"] == "residual_left" and row["iterations"] == 0]
    assert at_start[:2] == pytest.approx([1, 1], rel=1e-5)


def test_passes_are_timed_in_turns_and_the_first_does_not_count():
    rows = list(seconds(tiny.vae(), torch.zeros(1, 4, 8, 8), ["bf16"], 3))
    assert [row["image"] for row in rows] == [0, 1, 2] and {row["method"] for row in rows} == {"bf16"}
    assert all(row["value"] > 0 for row in rows)
