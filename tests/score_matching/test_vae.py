"""The implicit VAE: sides and sizes as printed, gradients of its parts, and the score of a known Gaussian learnt."""

import pytest
import torch
from torch import nn

from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.vae import Decoder, ImplicitEncoder, ImplicitVAE, ScoreNetwork, sides

DEQ = {"preprocessing": "deq", "solver": "picard", "tol": 1e-12, "max_iter": 300, "adjoint": "gmres"}
OPERATOR = {"normalisation": "operator", "bound": 1.2}
FORMS = {
    "none": {},
    "augmented": {"preprocessing": "augmented", "layers": 2},
    "deq": {**DEQ, "cell": OPERATOR, "derivative": "exact"},
}


class Function(nn.Module):
    """A function in a network's place."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(form, shape=(1, 8, 8), latent=3, width=2):
    torch.manual_seed(0)
    return ScoreNetwork(shape, latent, width, **FORMS[form]).double()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 13, 6)])
def test_a_decoder_gives_images_of_the_size_that_the_encoder_took(shape):
    x, noise = torch.rand(2, *shape), torch.randn(2, 1, *shape[1:])
    z = ImplicitEncoder(shape, 5, 2)(x, noise)
    assert z.shape == (2, 5)
    made = Decoder(shape, 5, 2)(z)
    assert made.shape == x.shape
    assert made.abs().max() <= 1


def test_every_side_that_is_even_on_the_way_has_the_printed_output_padding():
    assert sides(32) == [32, 16, 8, 4, 2]
    layers = [layer for layer in Decoder((3, 32, 32), 5, 2) if isinstance(layer, nn.ConvTranspose2d)]
    assert {layer.output_padding for layer in layers} == {(1, 1)}


@pytest.mark.parametrize("form", FORMS)
def test_jets_and_nested_autograd_give_the_same_loss_and_gradients(form):
    net, x, z = network(form), drawn(1, 4, 1, 8, 8), drawn(2, 4, 3)
    found = []
    for engine in ("jets", "loop"):
        net.zero_grad()
        loss = score_matching_loss(net.given(x), z, kind="sm", of="score", engine=engine)
        loss.backward()
        found.append((loss.detach(), [parameter.grad.clone() for parameter in net.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-6, atol=1e-9)


def test_the_trace_is_that_of_finite_differences():
    net, x, z = network("deq"), drawn(1, 2, 1, 8, 8), drawn(2, 2, 3)
    loss = score_matching_loss(net.given(x), z, kind="sm", of="score", engine="jets", reduction="none")
    with torch.no_grad():
        h, unit = 1e-5, torch.eye(3, dtype=torch.float64)
        trace = sum((net(x, z + h * e) - net(x, z - h * e))[:, k] / (2 * h) for k, e in enumerate(unit))
        expected = net(x, z).square().sum(1) / 2 + trace
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-6, atol=1e-8)


def test_the_surrogate_has_the_gradient_of_a_gaussian_encoder_s_elbo():
    """A linear encoder with noise has a known density: its score in, the gradient of the entropy comes out."""
    torch.manual_seed(0)
    vae = ImplicitVAE((1, 2, 2), 2, 1, nn.Identity()).double()
    scale = torch.tensor([0.5, 1.5], dtype=torch.float64, requires_grad=True)
    x, noise = drawn(0, 20000, 1, 2, 2) * 0, drawn(1, 20000, 2)
    z = noise * scale
    vae.score = Function(lambda x, z: -z / scale.detach() ** 2)
    vae.decoder = Function(lambda z: torch.zeros(len(z), 1, 2, 2, dtype=torch.float64))
    vae.surrogate(x, z).mean().backward()
    exact = 1 / scale.detach() - scale.detach()  # of sum log scale - scale^2 / 2
    torch.testing.assert_close(scale.grad, exact, rtol=0.05, atol=0.05)


def test_the_score_of_a_known_gaussian_is_learnt():
    torch.manual_seed(0)
    net = ScoreNetwork((1, 4, 4), 2, 4)
    optimizer, generator = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(0)
    x = torch.zeros(128, 1, 4, 4)
    for _ in range(150):
        z = 0.5 * torch.randn(128, 2, generator=generator) + 1
        loss = score_matching_loss(net.given(x), z, kind="ssm-vr", of="score", engine="jets", generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = 0.5 * torch.randn(128, 2, generator=generator) + 1
    with torch.no_grad():
        true = -(z - 1) / 0.25
        assert (net(x, z) - true).square().sum() < 0.25 * true.square().sum()


def test_more_layers_and_an_equilibrium_add_parameters_in_the_printed_order():
    def count(**options):
        with torch.device("meta"):
            return sum(p.numel() for p in ScoreNetwork((3, 32, 32), 8, 16, **options).parameters())

    counts = [count(), count(preprocessing="deq"), count(preprocessing="augmented", layers=8)]
    counts.append(count(preprocessing="augmented", layers=16))
    assert counts == sorted(counts)
    assert counts[3] - counts[2] == 8 * (25 * 16 * 16 + 16)
