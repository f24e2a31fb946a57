"""Curvature propagation and approximate backpropagation against Hessians by nested automatic differentiation."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deqbench.score_matching.curvature import approximate_trace, curvature_trace
from tests.score_matching.log_densities import MODELS, Couplings, D, differences, hessians, made

ESTIMATES = {
    "propagated": lambda model, x: curvature_trace(model, x, torch.Generator().manual_seed(5)),
    "approximate": approximate_trace,
}


def traces_of(hessian):
    return hessian.diagonal(dim1=1, dim2=2).sum(1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ESTIMATES)
def test_the_score_is_the_gradient(name, kind):
    model, x = made(name)
    score, trace = ESTIMATES[kind](model, x)
    point = x.clone().requires_grad_()
    torch.testing.assert_close(score, torch.autograd.grad(model(point).sum(), point)[0], rtol=1e-12, atol=1e-12)
    assert score.shape == x.shape and trace.shape == (len(x),)


@pytest.mark.parametrize("name", MODELS)
def test_propagated_curvature_is_unbiased(name):
    """4,000 draws a row: the mean is within four and a half of its standard errors."""
    model, x = made(name)
    exact, draws = traces_of(hessians(model, x)), 4000
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        found = curvature_trace(model, x.repeat(draws, 1), generator)[1].view(draws, len(x))
    error = (found.mean(0) - exact) / (found.std(0) / draws**0.5)
    assert error.abs().max() < 4.5 and found.std(0).min() > 0


def test_each_draw_is_exact_where_no_two_units_share_an_entry_of_x():
    weights = torch.linspace(-1, 2, D, dtype=torch.float64)
    x = torch.randn(6, D, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for model in (lambda x: (weights * x.square()).sum(1), lambda x: (F.softplus(weights * x) * 3).sum(1)):
        exact = traces_of(hessians(model, x))
        torch.testing.assert_close(curvature_trace(model, x)[1], exact)
        torch.testing.assert_close(approximate_trace(model, x)[1], exact)


def test_a_linear_log_density_has_no_curvature():
    x = torch.ones(2, D)
    for estimate in (curvature_trace, approximate_trace):
        score, trace = estimate(lambda x: 2 * x.sum(1), x)
        assert trace.tolist() == [0, 0] and (score == 2).all()


def test_the_approximate_trace_is_exact_where_layers_are_diagonal():
    generator = torch.Generator().manual_seed(4)
    scales = [torch.randn(D, generator=generator, dtype=torch.float64) for _ in range(3)]

    def model(x):
        for scale in scales:
            x = F.softplus(F.linear(x, torch.diag(scale)) - 0.3)
        return -(x / 1.5).square().sum(1) + (1 - x).sum(1)

    x = torch.randn(5, D, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(approximate_trace(model, x)[1], traces_of(hessians(model, x)))


def test_the_approximate_trace_is_exact_where_factors_and_terms_share_no_entry_of_x():
    def product(x):
        return (x[:, :2].tanh() * F.softplus(x[:, 2:])).square().sum(1)

    def difference(x):
        return (x[:, :2].tanh() - F.softplus(x[:, 2:])).square().sum(1)

    x = torch.randn(5, D, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    for density in (product, difference):
        torch.testing.assert_close(approximate_trace(density, x)[1], traces_of(hessians(density, x)))


def test_the_approximate_trace_of_a_network_is_that_of_its_formula_by_layers():
    model, x = made("Network")
    (first, second), head = (model.layers[0], model.layers[2]), model.head
    a = first(x)
    b = torch.tanh(second(F.softplus(a)))
    slope, bend = 1 - b**2, -2 * b * (1 - b**2)
    g = head.weight  # (1, width)
    h = (g * bend) @ second.weight**2  # the head is linear
    g = (g * slope) @ second.weight
    s = torch.sigmoid(a)
    h = (h * s**2 + g * s * (1 - s)) @ first.weight**2
    found = approximate_trace(model, x)[1]
    torch.testing.assert_close(found, h.sum(1))
    assert (found - traces_of(hessians(model, x))).abs().max() > 0.01  # it is biased


def test_the_approximate_trace_of_a_convolution_is_that_of_its_matrix():
    model, x = made("Images")
    dense = nn.Sequential(*(nn.Linear(n, m).double() for n, m in ((D, 2 * D), (2 * D, D))))
    for layer, conv, shape in zip(dense, (model.first, model.second), ((1, 2, 2), (2, 2, 2)), strict=True):
        n = layer.in_features
        rows = F.conv2d(torch.eye(n, dtype=torch.float64).view(n, *shape), conv.weight, padding=1).flatten(1)
        layer.weight.data, layer.bias.data = rows.T, torch.zeros(layer.out_features, dtype=torch.float64)
    dense[0].bias.data = model.first.bias.data.repeat_interleave(D)
    found = approximate_trace(lambda x: -F.silu(dense[1](F.elu(dense[0](x)))).sum(1), x)[1]
    torch.testing.assert_close(approximate_trace(model, x)[1], found)


@pytest.mark.parametrize("kind", ESTIMATES)
@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_the_parameters(name, kind):
    model, x = made(name)

    def loss():
        score, trace = ESTIMATES[kind](model, x)
        return (trace + score.square().sum(1) / 2).mean()

    parameters = list(model.parameters())
    grads = torch.autograd.grad(loss(), parameters, allow_unused=True)
    for parameter, grad in zip(parameters, grads, strict=True):
        found = differences(loss, parameter)
        torch.testing.assert_close(grad if grad is not None else 0 * found, found, rtol=2e-6, atol=2e-7)


def test_the_draws_are_those_of_the_generator():
    model, x = made("Network")
    first, again, other = (curvature_trace(model, x, torch.Generator().manual_seed(k))[1] for k in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_scale_that_is_zero_at_first_leaves_finite_gradients():
    model = Couplings().double()
    for shift in model.shifts:
        nn.init.zeros_(shift[2].weight)
    x = torch.randn(3, D, dtype=torch.float64)
    curvature_trace(model, x)[1].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (lambda x: torch.logsumexp(x, 1), "logsumexp"),
        (lambda x: (x @ x.T).sum(1), "T"),
        (lambda x: torch.matmul(x, x.transpose(0, 1)).sum(1), "matmul of several tensors that depend on x"),
        (lambda x: x.norm(dim=1), "norm"),
        (lambda x: torch.linalg.vector_norm(x, dim=1), "linalg_vector_norm"),
        (lambda x: x.add_(1).sum(1), "add_"),
        (lambda x: torch.sub(x, x, alpha=2).sum(1), "sub with alpha"),
    ],
)
def test_an_unknown_function_is_named_beside_those_known(model, word):
    with pytest.raises(TypeError, match=f"^log_density: expected torch functions among add, .*; found {word}$"):
        curvature_trace(model, torch.ones(2, D))


def test_a_value_without_x_is_refused():
    with pytest.raises(TypeError, match=r"^log_density: expected a value that depends on x; found one that does not$"):
        approximate_trace(lambda x: torch.ones(2), torch.ones(2, D))
