"""The flow NICE, with explicit and implicit couplings, in float64."""

import pytest
import torch

from deqbench.score_matching.losses import score_matching_loss
from deqbench.score_matching.nice import NICE, explicit, implicit
from deqbench.solvers.deq import DEQ
from tests.score_matching.log_densities import differences

D = 6
SOLVED = {"solver": "picard", "tol": 1e-13, "max_iter": 200, "adjoint": "dense"}
SHIFTS = {"explicit": explicit(5, 3), "implicit": implicit(5, **SOLVED)}


def flow(kind, prior="logistic", d=D, blocks=4):
    model = NICE(d, [SHIFTS[kind]] * blocks, prior).double()
    generator = torch.Generator().manual_seed(8)
    for parameter in model.parameters():
        parameter.data = 0.6 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model, torch.randn(4, d, generator=generator, dtype=torch.float64)


def log_prior(prior, z):
    if prior == "normal":
        return torch.distributions.Normal(0.0, 1.0).log_prob(z)
    return (torch.sigmoid(z) * torch.sigmoid(-z)).log()


@pytest.mark.parametrize("kind", SHIFTS)
@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_the_log_density_is_the_priors_plus_that_of_the_jacobian(kind, prior):
    model, x = flow(kind, prior)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda v: model.latent(v[None])[0], row) for row in x])
    assert (jacobian.triu(1) != 0).any() and (jacobian.tril(-1) != 0).any()
    expected = log_prior(prior, model.latent(x)).sum(1) + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", SHIFTS)
def test_the_inverse_undoes_the_flow(kind):
    model, x = flow(kind)
    torch.testing.assert_close(model.inverse(model.latent(x)), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.latent(model.inverse(x)), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", SHIFTS)
@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_the_density_sums_to_one(kind, prior):
    """Over a square in two dimensions, by the rule of trapezia; hardly anything lies beyond it."""
    model, _ = flow(kind, prior, d=2, blocks=2)
    model.log_scales.data.mul_(0.3)
    side = torch.linspace(-24, 24, 145, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        mass = model(x).exp().sum() * (side[1] - side[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_samples_have_the_latents_of_the_prior(prior):
    model, _ = flow("explicit", prior)
    x = model.sample(4000, torch.Generator().manual_seed(1))
    z = model.latent(x).detach()
    variance = torch.pi**2 / 3 if prior == "logistic" else 1.0
    assert z.mean(0).abs().max() < 0.12 and (z.var(0) / variance - 1).abs().max() < 0.12
    assert torch.equal(x, model.sample(4000, torch.Generator().manual_seed(1)))


def test_gradients_of_the_implicit_flow_are_those_of_finite_differences():
    model, x = flow("implicit", d=4, blocks=2)
    x.requires_grad_()

    def loss():
        score = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
        return (model(x) + score.square().sum(1)).mean()

    parameters = list(model.parameters())
    for parameter, grad in zip(parameters, torch.autograd.grad(loss(), parameters), strict=True):
        torch.testing.assert_close(grad, differences(loss, parameter), rtol=1e-5, atol=1e-7)


def test_a_sliced_loss_by_a_series_is_that_by_a_factorisation_and_by_nested_differentiation():
    found = []
    for adjoint, engine in (("dense", "jets"), ("picard", "jets"), ("dense", "loop")):
        model, x = flow("implicit", d=4, blocks=2)
        for layer in (module for module in model.modules() if isinstance(module, DEQ)):
            layer.settings["adjoint"] = adjoint
        generator = torch.Generator().manual_seed(1)
        loss = score_matching_loss(model, x, kind="ssm", engine=engine, generator=generator)
        found.append([loss, *torch.autograd.grad(loss, [*model.parameters()])])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9)


def test_parameters_are_those_that_the_paper_prints_for_the_explicit_flow():
    """15M: five layers in all, four of them 1000 wide. The implicit one of width 1000 has half of the printed 14M."""
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in NICE(784, [shift] * 4).parameters()) for shift in (explicit(1000), implicit(1000))
        ]
    half, width = 392, 1000
    ends = half * width + width + width * half + half
    assert counts[0] == 4 * (ends + 3 * (width**2 + width)) + 784 == 15_154_352
    assert counts[1] == 4 * (ends + width**2) + 784 == 7_142_352


def test_the_settings_reach_the_layer():
    model = NICE(4, [implicit(3, tol=1e-4, derivative="phantom", steps=2, normalisation="operator", bound=1.5)])
    (layer,) = [module for module in model.modules() if isinstance(module, DEQ)]
    assert layer.settings == {"tol": 1e-4, "derivative": "phantom", "steps": 2}
    assert torch.linalg.matrix_norm(layer.cell.matrix(), 2).item() == pytest.approx(1 / 1.5, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3, [explicit(2)]), "dimensions: expected an even number; found 3"),
        ((4, [explicit(2)], "cauchy"), "prior: expected one of logistic, normal; found 'cauchy'"),
        ((4, []), "shifts: expected at least one coupling; found none"),
    ],
)
def test_an_impossible_flow_is_one_sentence(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        NICE(*arguments)
