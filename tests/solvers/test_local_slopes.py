"""Slopes of single elements, on moves and effects whose slopes are known."""

import pytest
import torch

from deqbench.solvers.local_slopes import MOST, USEFUL, Knots, LocalSlopes

INFINITE = float("inf")
ELEMENTS = 64


def place(steps, begin=0):
    return torch.cat([torch.full((begin,), INFINITE), torch.linspace(4, 0, steps - begin)]).double()


def of(places, reach=1.0, groups=ELEMENTS, by_state=0.0, by_term=1.0):
    """By default of a system whose terms are the next states, so that effects on terms are those on states."""
    columns = (torch.full((len(places),), value, dtype=torch.float64) for value in (reach, by_state, by_term))
    return LocalSlopes(Knots.of(places, *columns), groups)


def moves(steps, seed):
    return torch.randn(steps, ELEMENTS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def learnt(effect, rounds=4, steps=20, reach=1.0):
    local = of(place(steps), reach)
    for seed in range(rounds):
        learned = moves(steps, seed)
        local.learn(torch.arange(steps), learned, effect(learned))
    return local


def slope_of_elements():
    return 0.1 + 0.8 * torch.rand(ELEMENTS, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def test_slopes_that_differ_from_element_to_element_are_found_and_trusted():
    slopes = slope_of_elements()
    local = learnt(lambda x: slopes * x, reach=3.0)
    assert local.trust.min() > 0.8
    expected = slopes - slopes.mean()
    learned = local.at(0)
    assert learned.shape == (20, ELEMENTS)
    assert ((learned - 3 * expected).norm(dim=1) < 0.2 * 3 * expected.norm()).all()


def test_elements_of_a_group_share_a_slope():
    """Weighted by their moves: as the least squares of the whole group would have it."""
    groups, weight = 8, torch.linspace(0.5, 2.0, ELEMENTS, dtype=torch.float64)
    slopes, local = slope_of_elements(), of(place(20), groups=groups)
    for seed in range(4):
        learned = weight * moves(20, seed)
        local.learn(torch.arange(20), learned, slopes * learned)
    learned = local.at(0)
    assert learned.shape == (20, groups)
    by_group = (slopes * weight**2).view(groups, -1).sum(1) / (weight**2).view(groups, -1).sum(1)
    expected = by_group - (slopes * weight**2).sum() / (weight**2).sum()
    assert torch.corrcoef(torch.stack([learned.mean(0), expected]))[0, 1] > 0.9


@pytest.mark.parametrize("groups", [ELEMENTS, 8])
def test_a_step_counts_by_the_mean_square_of_its_groups(groups):
    """So RIDGE means the same for groups of any size, and for moves of any length."""
    local = of(place(20), groups=groups)
    local.learn(torch.arange(20), 1e3 * moves(20, 0), moves(20, 1))
    assert local.squares.sum() == pytest.approx(20 * groups)


@pytest.mark.parametrize("groups", [ELEMENTS, 8])
def test_trust_is_the_least_squares_of_what_own_slopes_left_over(groups):
    """By all elements' residuals; every step has the same place, so that there is one knot."""
    local = of(torch.zeros(12).double(), groups=groups)
    first, then = moves(12, 0), moves(12, 1)
    slopes = slope_of_elements()
    local.learn(torch.arange(12), first, slopes * first)
    deviation = local.deviation[0].repeat_interleave(ELEMENTS // groups)
    effects = (0.5 * slopes + 0.2) * then + 0.2 * moves(12, 2)
    local.learn(torch.arange(12), then, effects)
    rest = effects - (then * effects).sum(1, keepdim=True) / then.square().sum(1, keepdim=True) * then
    told = deviation * then
    left = rest.square().sum(1)
    expected = float(((rest * told).sum(1) / left).sum() / (told.square().sum(1) / left).sum())
    assert 0.1 < expected < 0.95
    assert float(local.trust) == pytest.approx(expected, rel=1e-3)


def test_effects_are_what_moves_and_terms_add_to_the_next_state():
    """Next state 0.3 x + 2 term(x): the same slopes, in shares of the reach, as those of that system's states."""
    slopes = slope_of_elements()
    plain, mixed = of(place(20)), of(place(20), by_state=0.3, by_term=2.0)
    for seed in range(4):
        learned = moves(20, seed)
        plain.learn(torch.arange(20), learned, slopes * learned)
        mixed.learn(torch.arange(20), learned, (slopes - 0.3) / 2.0 * learned)
    assert torch.allclose(mixed.deviation, plain.deviation, atol=1e-9)
    assert torch.allclose(mixed.trust, plain.trust, atol=1e-5)


def test_slopes_change_with_the_place_of_a_step():
    """Two kinds of steps, far apart."""
    slopes = slope_of_elements()
    away = torch.where(place(20) > 2, 1.0, 0.0)[:, None]
    local = learnt(lambda x: (away * slopes + (1 - away) * (1 - slopes)) * x, rounds=6)
    learned = local.at(0)
    centred = slopes - slopes.mean()
    assert torch.corrcoef(torch.stack([learned[0], centred]))[0, 1] > 0.9
    assert torch.corrcoef(torch.stack([learned[-1], centred]))[0, 1] < -0.9


def test_a_jacobian_that_mixes_all_elements_is_not_trusted():
    mixing = torch.randn(ELEMENTS, ELEMENTS, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 8
    assert learnt(lambda x: x @ mixing).trust.mean() < USEFUL


def test_one_slope_for_all_elements_stays_one():
    learned = learnt(lambda x: 0.4 * x).at(0)
    assert learned is None or learned.abs().max() < 1e-12


def test_states_that_stood_still_say_nothing():
    slopes = slope_of_elements()
    local, moved = learnt(lambda x: slopes * x), moves(20, 7)
    before = local.deviation.clone()
    moved[::2] *= 1e-200
    local.learn(torch.arange(20), moved, slopes * moved)
    assert local.deviation.isfinite().all() and local.trust.isfinite().all()
    local.learn(torch.arange(20), 0 * moved, 0 * moved)
    assert local.deviation.isfinite().all()
    assert torch.corrcoef(torch.stack([local.deviation.flatten(), before.flatten()]))[0, 1] > 0.9


def test_nothing_is_believed_before_it_foretold_something():
    slopes = slope_of_elements()
    assert learnt(lambda x: slopes * x, rounds=1).at(0) is None
    assert learnt(lambda x: slopes * x, rounds=2).at(0) is not None


def test_steps_without_a_place_have_none():
    local = of(place(20, begin=8))
    slopes, steps = slope_of_elements(), torch.tensor([2, 7, 8, 11, 15, 19])
    picked = local.pick(steps)
    assert steps[picked].tolist() == [8, 11, 15, 19]
    for seed in range(3):
        learned = moves(6, seed)
        local.learn(steps, learned, slopes * learned)
    before = local.deviation.clone()
    local.learn(steps[:2], moves(2, 3), moves(2, 4))
    assert torch.equal(local.deviation, before)
    assert len(local.at(0)) == len(local.at(5)) == 12
    assert len(local.at(17)) == 3
    nowhere = of(place(20, begin=20))
    assert nowhere.at(0) is None


def test_many_steps_are_thinned_evenly():
    local = of(place(1000))
    picked = torch.arange(1000)[local.pick(torch.arange(1000))]
    assert len(picked) == MOST and picked[0] == 0 and picked[-1] == 999
    assert (picked.diff() - 999 / (MOST - 1)).abs().max() < 1.01


def test_the_length_of_a_move_does_not_matter():
    """Late rounds move by a thousandth of what early ones did, and say as much."""
    slopes = slope_of_elements()
    together = of(place(20))
    for seed in range(4):
        learned = moves(20, seed)
        together.learn(torch.arange(20), 1e-3**seed * learned, slopes * 1e-3**seed * learned)
    assert torch.allclose(together.deviation, learnt(lambda x: slopes * x).deviation, atol=1e-9)
