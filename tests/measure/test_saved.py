"""Bytes that autograd saves, of graphs that can be counted by hand."""

import torch

from deqbench.measure.memory import LiveBytes
from deqbench.measure.saved import SavedBytes


def test_every_saved_storage_counts_once_and_parameters_not_at_all():
    weight = torch.ones(1000, requires_grad=True)
    x = torch.ones(1000, requires_grad=True)
    with SavedBytes([weight]) as saved:
        y = (x * weight).exp()  # x and the weight for the product, y for the exponential
        z = y * y  # y again
    assert saved.peak == saved.live == 8000
    z.sum().backward()
    assert x.grad is not None


def test_what_a_freed_graph_kept_no_longer_counts():
    x = torch.ones(1000, requires_grad=True)
    with SavedBytes() as saved:
        for _ in range(5):
            torch.autograd.grad(x.exp().sum(), x)
        assert saved.live == 0
    assert saved.peak == 4000


def test_chains_save_as_many_states_as_they_have_steps():
    peaks = []
    for steps in (3, 6):
        x = torch.ones(1000, requires_grad=True)
        with SavedBytes() as saved:
            for _ in range(steps):
                x = x.tanh()
        peaks.append(saved.peak)
    assert peaks == [12_000, 24_000]


def test_live_bytes_see_what_the_backward_pass_makes():
    x = torch.ones(1000, requires_grad=True)
    with LiveBytes() as live:
        y = x * 2
        before = live.peak
        torch.autograd.grad(y.sum(), x)
    assert before == 4000 and live.peak >= 8000
