"""The paper's misprints, against dense matrices."""

from dataclasses import replace

import pytest
import torch

from deqbench.diffusion.gradients import gradient
from deqbench.experiments.deq_ddim.gradients.misprints import misprints, pushed
from tests.diffusion.chains import SHAPE, relative
from tests.diffusion.inversion_problems import problem, unrolled


def dense(chain, target):
    """Jacobians of the joint map at the chain's own states, and dL/dz, of one image: matrices and a vector."""
    z = torch.stack(list(chain.walk()), 1)
    by_state = torch.autograd.functional.jacobian(chain, z).reshape(z.numel(), z.numel())
    by_start = torch.autograd.functional.jacobian(lambda x: replace(chain, x_T=x)(z), chain.x_T).reshape(
        len(by_state), -1
    )
    g = torch.zeros_like(z)
    g[:, -1] = 2 * (z[:, -1] - target)
    return by_state, by_start, g.flatten()


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_the_misprints_are_what_dense_matrices_make_of_the_printed_equations(eta):
    chain, target, _ = problem(4, eta=eta)
    found = misprints(chain, target)
    for i in range(2):
        one = chain.select(torch.tensor([i]))
        by_state, by_start, g = dense(one, target[i : i + 1])
        J_g = by_state - torch.eye(len(g)).to(g)
        printed = torch.linalg.solve(torch.linalg.inv(J_g), -g)  # J_g^-1 v + g = 0
        untransposed, right = torch.linalg.solve(J_g, -g), torch.linalg.solve(J_g.T, -g)
        for name, exact in (
            ("eq-16-printed", -g @ by_start),
            ("eq-16-right", g @ by_start),
            ("eq-19-printed", printed @ by_start),
            ("eq-19-untransposed", untransposed @ by_start),
            ("eq-19-right", right @ by_start),
        ):
            assert relative(found[name][i].flatten(), exact) < 1e-8, name


def test_only_the_right_equation_is_the_gradient_and_two_misprints_are_the_one_step_gradient():
    chain, target, _ = problem(8)
    found, exact = misprints(chain, target), unrolled(chain, target)
    one_step = gradient("phantom", chain, target, {"tau": 1.0}).gradient
    assert relative(found["eq-19-right"], exact) < 1e-10
    for name in ("eq-16-right", "eq-19-printed", "eq-19-untransposed"):
        assert relative(found[name], one_step) < 1e-12
        assert relative(found[name], exact) > 0.01
    assert torch.equal(found["eq-16-printed"], -found["eq-16-right"])


def test_difference_quotients_of_the_joint_map_are_its_jacobian():
    chain, _, _ = problem(5)
    generator = torch.Generator().manual_seed(4)
    z, v = (torch.randn(2, 5, *SHAPE[1:], generator=generator, dtype=torch.float64) for _ in range(2))
    _, exact = torch.autograd.functional.jvp(chain, z, v)
    assert relative(pushed(chain, z, v), exact) < 1e-7
    with pytest.raises(ValueError, match="expected float64"):
        misprints(problem(3, dtype=torch.float32, double=False)[0], z[:, 0])
