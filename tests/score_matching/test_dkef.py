"""Kernel densities: the formula of appendix D.1, written out; derivatives are those of nested autograd."""

import math

import pytest
import torch
from torch.nn import functional as F

from deqbench.score_matching.dkef import DKEF, Equilibria, Perceptrons
from deqbench.score_matching.kernels import gaussian_kernels, kernels_by_point
from deqbench.score_matching.losses import score_matching_loss

D, B, M, H, R = 4, 5, 7, 6, 3


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def density(kind, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    if kind == "deq":
        settings = {"solver": "picard", "tol": 1e-13, "max_iter": 500, **settings}
        extractor = Equilibria(D, H, generator=generator, **settings)
    else:
        extractor = Perceptrons(D, H, kind, generator=generator, **settings)
    return DKEF(extractor, drawn(M, D, seed=seed + 1)).double()


def test_kernels_are_the_printed_sum_over_points_and_extractors():
    features, centres, weights = drawn(R, B, H), drawn(R, M, H, seed=1), drawn(M, seed=2)
    rho, sigma = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([0.5, 1.0, 2.0]).double()
    by_point = torch.zeros(B, M, dtype=torch.float64)
    for r in range(R):
        for b in range(B):
            for m in range(M):
                square = (features[r, b] - centres[r, m]).square().sum()
                by_point[b, m] += rho[r] * math.exp(-square / (2 * sigma[r] ** 2))
    torch.testing.assert_close(kernels_by_point(features, centres, rho, sigma), by_point, rtol=1e-12, atol=1e-14)
    found = gaussian_kernels(features, centres, weights, rho, sigma)
    torch.testing.assert_close(found, by_point @ weights, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("skip", [False, True])
def test_a_perceptron_s_features_are_those_of_its_copies_one_by_one(skip):
    net, x = Perceptrons(D, H, 3, skip=skip, generator=torch.Generator().manual_seed(3)).double(), drawn(B, D)
    for r in range(R):
        y = x @ net.layers[0].weight[r] + net.layers[0].bias[r]
        for layer in net.layers[1:]:
            y = F.softplus(y) @ layer.weight[r] + layer.bias[r]
        expected = y + x @ net.skip.weight[r] if skip else y
        torch.testing.assert_close(net(x)[r], expected, rtol=1e-12, atol=1e-12)


def test_a_block_s_features_are_read_out_of_a_fixed_point():
    net, x = density("deq").extractor, drawn(B, D)
    with torch.no_grad():
        z = net.block(F.softplus(net.inject(x.unsqueeze(0))))
        g = F.softplus(torch.stack([x @ net.inject.weight[r] + net.inject.bias[r] for r in range(R)]))
        for r in range(R):
            w = net.block.cell.weight[r]
            again = F.softplus(z[r] @ (w / (1.05 * (w.norm() + 1e-6))).T + g[r])
            torch.testing.assert_close(again, z[r], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(net(x), net.readout(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [3, 8, "deq"])
def test_the_loss_of_jets_is_that_of_nested_autograd_with_all_gradients(kind):
    net, x = density(kind), drawn(B, D, seed=5)
    found = {}
    for engine in ("jets", "loop"):
        loss = score_matching_loss(net, x, kind="sm", engine=engine)
        found[engine] = loss, torch.autograd.grad(loss, list(net.parameters()))
    torch.testing.assert_close(found["jets"][0], found["loop"][0], rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(found["jets"][1], found["loop"][1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_the_base_density_is_normalised():
    net = DKEF(Perceptrons(1, H, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 1)).double()
    grid = torch.linspace(-30, 30, 20001, dtype=torch.float64)[:, None]
    assert float(torch.trapezoid(net.log_base(grid).exp(), grid[:, 0])) == pytest.approx(1, abs=1e-9)


def test_the_same_generator_gives_the_same_model_and_global_draws_do_not_matter():
    torch.manual_seed(1)
    one = density("deq", seed=4)
    torch.manual_seed(2)
    again = density("deq", seed=4)
    for mine, theirs in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("kind", "count"), [(3, 7434), (8, 21384), (16, 43704), ("deq", 7344)])
def test_parameters_at_the_paper_s_sizes_on_wine_are_counted(kind, count):
    extractor = Equilibria(11, 30) if kind == "deq" else Perceptrons(11, 30, kind)
    net = DKEF(extractor, torch.zeros(64, 11))
    assert sum(p.numel() for p in net.parameters()) == count
