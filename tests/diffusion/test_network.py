"""The noise predictor: what it asks of the network, and what it counts."""

import contextlib

import pytest
import torch

from deqbench.diffusion import network
from deqbench.diffusion.network import NoisePredictor
from tests.oracles import ToyEps

ALPHA_BAR = torch.linspace(0.99, 0.01, 1000, dtype=torch.float64)


class Watched(ToyEps):
    """Notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__(channels=2)
        self.sizes = []

    def forward(self, x, t):
        assert len(x) == len(t)
        self.sizes.append(len(x))
        return super().forward(x, t)


def batch(images):
    generator = torch.Generator().manual_seed(images)
    x = torch.randn(images, 2, 4, 4, dtype=torch.float64, generator=generator)
    return x, torch.randint(1000, (images,), generator=generator)


@pytest.mark.parametrize(
    ("images", "max_batch", "sizes"),
    [
        (1, 64, [1]),
        (2, 64, [8]),
        (8, 64, [8]),
        (29, 64, [32]),
        (70, 64, [64, 8]),
        (65, 64, [64, 1]),
        (11, 12, [12]),
        (17, 7, [7, 7, 7]),
    ],
)
def test_batches_of_a_small_network_come_in_few_sizes(images, max_batch, sizes):
    net = Watched()
    predictor = NoisePredictor(net, ALPHA_BAR, max_batch=max_batch)
    x, t = batch(images)
    with torch.no_grad():
        predicted = predictor(x, t)
    assert net.sizes == sizes
    assert (predictor.evaluations, predictor.calls) == (images, len(sizes))
    torch.testing.assert_close(predicted, net(x, t), rtol=1e-12, atol=1e-12)
    assert predicted.untyped_storage().nbytes() == predicted.nbytes  # what filled the batch up is not held


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_filled_batches_of_other_predictions(prediction):
    predictor = NoisePredictor(ToyEps(channels=2), ALPHA_BAR, prediction)
    x, t = batch(5)
    with torch.no_grad():
        alone = torch.cat([predictor(x[i : i + 1], t[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(predictor(x, t), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("why", ["large", "gradient", "no module"])
def test_batches_that_would_cost_more_are_left_alone(monkeypatch, why):
    net = Watched()
    if why == "large":
        net.register_parameter("weight", torch.nn.Parameter(torch.zeros(10)))
        monkeypatch.setattr(network, "SMALL", 10 * 16 - 1)
    predictor = NoisePredictor(net.forward if why == "no module" else net, ALPHA_BAR)
    with contextlib.nullcontext() if why == "gradient" else torch.no_grad():
        predictor(*batch(5))
    assert net.sizes == [5]
