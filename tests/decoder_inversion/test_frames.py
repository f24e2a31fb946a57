"""Bytes of iterations counted by hand, and frames that fit a budget."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.frames import Line, frames_that_fit, iteration
from deqbench.decoder_inversion.inverters.gradient import pixel_gradient
from deqbench.errors import UserError
from deqbench.measure.peaks import peak_bytes
from tests.decoder_inversion import tiny

PICTURE = 3 * 8 * 8 * 4  # bytes of an image 8x8 in float32


class Chain(nn.Module):
    """D: `depth` times tanh, of images as latents; E: one negation. Every layer makes a tensor of the input's size."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5))
        self.depth = depth
        self.config = {"latent_channels": 3, "block_out_channels": (1,)}

    def decode(self, z):
        for _ in range(self.depth):
            z = z.tanh()
        return SimpleNamespace(sample=z)

    def encode(self, x):
        return SimpleNamespace(latents=-x)


def bytes_of(depth: int, family: str, frames: int = 1) -> dict[str, int]:
    codec = Codec(Chain(depth))
    x = torch.rand(frames, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return peak_bytes(lambda: iteration(codec, family, x, x), [*codec.vae.parameters()])


def test_without_a_graph_a_chain_holds_the_same_at_any_depth():
    assert bytes_of(3, "free") == bytes_of(12, "free")
    assert bytes_of(12, "free")["saved"] == 0


@pytest.mark.parametrize("depth", [3, 12])
def test_with_a_graph_a_chain_holds_a_tensor_for_every_layer(depth):
    measured = bytes_of(depth, "gradient")
    # tanh keeps its result; the squared error keeps the difference
    assert measured["saved"] == pytest.approx((depth + 1) * PICTURE, abs=16)
    assert bytes_of(depth + 1, "gradient")["peak"] - measured["peak"] == PICTURE


def test_bytes_grow_by_frames_as_a_line():
    one, two, five = (bytes_of(4, "gradient", frames)["peak"] for frames in (1, 2, 5))
    line = Line.through([1, 2], [one, two])
    assert line.at(5) == pytest.approx(five, rel=1e-6)


def test_a_line_holds_as_many_frames_as_its_bytes():
    line = Line.through([1, 2, 3], [110, 120, 130])
    assert (line.fixed, line.per_frame) == pytest.approx((100, 10))
    assert [line.fitting(budget) for budget in (99, 110, 149, 150)] == [0, 1, 4, 5]


@pytest.mark.parametrize("gradient", [False, True])
def test_the_frames_fit_and_one_more_would_not(gradient):
    codec = Codec(Chain(6))
    x = torch.rand(11, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    family = "gradient" if gradient else "free"

    def needed(count: int) -> int:
        return peak_bytes(lambda: iteration(codec, family, x[:count], x[:count]), [])["peak"]

    budget = needed(4)
    most = frames_that_fit(codec, x, budget, gradient=gradient)
    assert most == 4 and needed(most) <= budget < needed(most + 1)


def test_a_video_that_fits_is_taken_whole():
    codec = Codec(Chain(2))
    assert frames_that_fit(codec, torch.zeros(3, 3, 8, 8), 1 << 30) == 3
    assert frames_that_fit(codec, torch.zeros(1, 3, 8, 8), 1) == 1


@pytest.mark.parametrize(("count", "words"), [(3, "budget: expected at least"), (0, "frames: expected at least one")])
def test_a_budget_below_one_frame_is_refused(count, words):
    with pytest.raises(UserError, match=words):
        frames_that_fit(Codec(Chain(2)), torch.zeros(count, 3, 8, 8), 10)


def test_a_gradient_keeps_one_graph_of_max_batch_pictures_at_a_time_and_is_the_same():
    net = tiny.vae()
    generator = torch.Generator().manual_seed(0)
    z, x = (torch.randn(6, *shape, generator=generator) for shape in ((4, 8, 8), (3, 16, 16)))
    measured = {count: pixel_gradient(Codec(net, max_batch=count), x, z) for count in (1, 2, 6)}
    for count in (1, 2):
        torch.testing.assert_close(measured[count], measured[6], rtol=1e-4, atol=1e-5)
    frames = pixel_gradient(Codec(net, max_batch=4), x.unflatten(0, (2, 3)), z.unflatten(0, (2, 3)))
    torch.testing.assert_close(frames[1].flatten(0, 1), measured[6][1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(frames[0], measured[6][0].view(2, 3).sum(1), rtol=1e-4, atol=1e-5)

    def peak(count: int) -> int:
        return peak_bytes(lambda: pixel_gradient(Codec(net, max_batch=count), x, z), [*net.parameters()])["peak"]

    assert peak(1) < peak(2) < peak(6) / 2
