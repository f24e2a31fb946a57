"""Peak bytes of cases that can be counted by hand."""

import torch

from deqbench.measure.memory import LiveBytes


def test_a_tensor_counts_once_and_its_views_not_at_all():
    with LiveBytes() as live:
        x = torch.zeros(1000)
        x.view(10, 100)[3:].t()
    assert live.peak == live.live == 4000


def test_what_is_let_go_makes_room():
    with LiveBytes() as live:
        for _ in range(5):
            x = torch.zeros(1000)
            del x
        torch.zeros(500, dtype=torch.float64)
    assert live.peak == 4000
    assert live.live == 0


def test_the_peak_counts_temporaries():
    with LiveBytes() as live:
        x = torch.zeros(1000)
        y = (x + 1) * 2  # x, the sum and the product live at once
        del x
    assert live.peak == 12_000
    assert live.live == y.nbytes


def test_writing_in_place_costs_nothing_and_outside_tensors_do_not_count():
    x = torch.zeros(1000)
    with LiveBytes() as live:
        x.add_(1).mul_(2)
        x[:10] = 3
    assert live.peak < 100  # a scalar at most
