"""Score networks by noise: shapes, the printed layers, equal derivatives by all engines, and levels that matter."""

import pytest
import torch

from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.ncsn import AtLevels, Input, network, perturbed
from deqbench.score_matching.refinenet import LevelNorm

EXACT = {
    "cell": {"normalisation": "operator", "bound": 1.2},
    "solver": "picard",
    "tol": 1e-12,
    "max_iter": 200,
    "adjoint": "gmres",
    "derivative": "exact",
}
VARIANTS = ("ncsn", "two-res", "deq")


def made(variant, channels=1, width=2, levels=3):
    torch.manual_seed(0)
    return network(variant, channels, width, levels, **(EXACT if variant == "deq" else {})).double()


def images(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_score_has_the_image_s_shape_and_depends_on_the_level(variant):
    net, x = made(variant, channels=3), images(0, 2, 3, 8, 8)
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, LevelNorm):
                norm.beta.copy_(torch.arange(3)[:, None] / 5)
        first, second = (net(x, torch.full((2,), level)) for level in (0, 1))
    assert first.shape == x.shape
    assert not torch.allclose(first, second, rtol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_are_treated_by_themselves(variant):
    net, x, level = made(variant), images(0, 3, 1, 8, 8), torch.arange(3)
    with torch.no_grad():
        torch.testing.assert_close(net(x, level)[1:2], net(x[1:2], level[1:2]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_jets_and_nested_autograd_give_the_same_loss_and_gradients(variant):
    net, x, level, found = made(variant), images(0, 2, 1, 4, 4), torch.tensor([0, 2]), []
    for engine in ("jets", "loop"):
        net.zero_grad()
        options = {"engine": engine, "generator": torch.Generator().manual_seed(0)}
        loss = score_matching_loss(AtLevels(net, level), x, kind="ssm-vr", of="score", **options)
        loss.backward()
        found.append((loss.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-6, atol=1e-8)


def test_a_norm_leaves_a_mean_of_beta_plus_alpha_times_the_channel_s_normalised_mean():
    norm, x = LevelNorm(4, 2).double(), images(0, 3, 4, 5, 5)
    with torch.no_grad():
        norm.beta[1].fill_(0.5)
        norm.gamma[1].fill_(2.0)
        found = norm(x, torch.tensor([1, 1, 0]))
    mu = x.mean((2, 3))
    apart = (mu - mu.mean(1, keepdim=True)) / mu.std(1, correction=0, keepdim=True)
    offset = torch.tensor([0.5, 0.5, 0.0])[:, None]
    torch.testing.assert_close(found.mean((2, 3)), apart + offset, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(found.std((2, 3), correction=0)[:2], torch.full((2, 4), 2.0).double(), rtol=1e-3, atol=0)


def test_the_input_of_table_9_does_not_fit_its_block_as_printed():
    x, level = torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.int64)
    assert Input(3, 4, 2)(x, level).shape == (1, 8, 8, 8)
    with pytest.raises(RuntimeError):
        Input(3, 4, 2, taken=8)(x, level)


def test_noise_of_each_level_has_its_standard_deviation():
    sigmas = torch.tensor([2.0, 0.5])
    noisy, level = perturbed(torch.zeros(400, 1, 8, 8), sigmas, torch.Generator().manual_seed(0))
    for k, sigma in enumerate(sigmas.tolist()):
        assert noisy[level == k].std().item() == pytest.approx(sigma, rel=0.03)
