import torch

from deqbench.diffusion.samplers import sample
from deqbench.diffusion.samplers.deer import _Linearised, scan
from tests.diffusion.chains import make, relative


def test_the_scan_is_the_recurrence():
    generator = torch.Generator().manual_seed(0)
    for length in (1, 2, 7, 16, 33):
        slope, rest = (torch.randn(2, length, 3, generator=generator, dtype=torch.float64) for _ in range(2))
        x, expected = torch.zeros(2, 3, dtype=torch.float64), []
        for j in range(length):
            x = slope[:, j] * x + rest[:, j]
            expected.append(x)
        assert relative(scan(slope, rest), torch.stack(expected, 1)) < 1e-12


def test_a_network_with_a_diagonal_jacobian_is_solved_by_one_newton_step():
    chain, *_ = make(50)
    object.__setattr__(chain, "eps_model", lambda x, t: x * (0.2 + t / 2000).view(-1, 1, 1, 1) + 0.1)
    first = []
    sample("deer", chain, {}, lambda r: first.append(r.x0.clone()))
    assert relative(first[0], list(chain.walk())[-1]) < 1e-6


def test_the_diagonal_is_estimated_from_the_networks_jacobian_product():
    chain, eps, *_ = make(10)
    x, j = chain.x_T[:1].repeat(2, 1, 1, 1), torch.tensor([3, 7])
    drawn = _Linearised(chain, torch.Generator().manual_seed(5)).step_terms(x, j)
    signs = 2.0 * torch.randint(2, (10, *x.shape[1:]), generator=torch.Generator().manual_seed(5))[j].double() - 1
    out, product = torch.func.jvp(lambda y: eps(y, chain.timesteps[j]), (x,), (signs,))
    assert relative(drawn[:, 0], out) < 1e-14
    assert relative(drawn[:, 1], signs * product) < 1e-4


def test_the_average_estimate_is_the_diagonal_of_the_jacobian():
    chain, eps, *_ = make(10)
    x, j = chain.x_T[:1], torch.tensor([3])
    system = _Linearised(chain, torch.Generator().manual_seed(0))
    mean = torch.stack([system.step_terms(x, j)[0, 1] for _ in range(400)]).mean(0)
    jacobian = torch.func.jacrev(lambda y: eps(y, chain.timesteps[j]))(x).view(x.numel(), x.numel())
    assert relative(mean.flatten(), jacobian.diagonal()) < 0.2


def test_newton_steps_are_fewer_than_sweeps_of_the_drift():
    chain, *_ = make(50)
    newton = sample("deer", chain, {"tol": 1e-8})
    drift = sample("windowed", chain, {"window": 1.0, "tol": 1e-8})
    assert (newton.rounds // 2 < drift.rounds).all()
    assert (newton.rounds % 2 == 0).all() and (newton.nfe % 2 == 0).all()


def test_the_seed_decides_the_way_but_not_the_end():
    chain, *_ = make(50)
    first, again, other = (sample("deer", chain, {"tol": 1e-8, "seed": seed}) for seed in (1, 1, 2))
    assert torch.equal(first.x0, again.x0)
    assert 0 < relative(other.x0, first.x0) < 1e-6


def test_float32_under_inference_mode_comes_to_the_chain():
    with torch.inference_mode():
        chain, *_ = make(50, dtype=torch.float32)
        assert relative(sample("deer", chain, {"tol": 1e-5}).x0, list(chain.walk())[-1]) < 1e-4
