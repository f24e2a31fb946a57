"""The DEQ module as its users meet it."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deqbench import DEQ
from tests.solvers.layers import Cell, D, N, apart, batch, score_loss, unrolled


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_gradients_reach_inputs_and_parameters_in_either_mode(mode):
    """In torchdeq 0.1.0 eval() cuts the input's gradient."""
    deq, (z0, x) = DEQ(Cell(), dims=(N,), tol=1e-12), batch()
    getattr(deq, mode)()
    leaves = [x, *deq.parameters()]
    grads = torch.autograd.grad(score_loss(deq(x), x), leaves)
    exact = torch.autograd.grad(score_loss(unrolled(deq.cell, z0, x), x), leaves)
    assert len(leaves) == 3 and max(map(apart, grads, exact)) < 1e-8


def test_the_last_result_is_kept_without_its_graph_and_hears_of_the_backward_pass():
    deq, (_, x) = DEQ(Cell(), dims=(N,)), batch()
    assert deq.last is None
    z = deq(x)
    assert torch.equal(deq.last.z, z) and not deq.last.z.requires_grad
    assert deq.last.converged.all() and deq.last.products == 0
    z.sum().backward()
    assert deq.last.products > 0 and deq.last.linear_solves[0].relative.max() < 2e-6
    assert copy.deepcopy(deq).last.products == deq.last.products


def test_a_solve_may_start_at_the_last_solution():
    deq, (_, x) = DEQ(Cell(), dims=(N,), tol=1e-10), batch()
    deq(x)
    rounds = deq.last.rounds
    deq(x, z0=deq.last.z)
    assert (deq.last.rounds < rounds).any() and deq.last.rounds.max() == 1


def test_the_state_has_the_shape_of_the_input_unless_told_otherwise():
    (_, x) = batch()
    deq = DEQ(torch.nn.Identity(), derivative="phantom", tau=0.5)
    deq.cell.forward = lambda z, x: 0.5 * torch.cos(z) + x
    assert deq(x).shape == x.shape and x.shape[1] == D
    assert "derivative='phantom'" in repr(deq) and "tau=0.5" in repr(deq)


def test_only_parameters_are_stored():
    deq, (_, x) = DEQ(Cell(), dims=(N,)), batch()
    deq(x)
    assert set(deq.state_dict()) == {"cell.W", "cell.U"}


def test_the_example_of_the_readme_runs():
    example = Path(__file__).parents[2] / "examples" / "deq_layer.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "second derivative" in done.stdout and not done.stderr
