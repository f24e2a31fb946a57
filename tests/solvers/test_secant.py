"""Secant sweeps on triangular systems with known answers; nothing of diffusion."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from deqbench.solvers.nodes import Between, Settings
from deqbench.solvers.rounds import Run, Stop
from deqbench.solvers.secant import Path, Slopes, _knots, secant_sweeps
from deqbench.solvers.triangular import sweeps


@dataclass
class Oscillators:
    """x_{j+1} = ratio_j x_j + scale_j sin(frequency x_j + phase_j), B samples of (2, 3)."""

    steps: int
    frequency: float = 1.0
    samples: int = 3
    evaluated: list = field(default_factory=list)

    def __post_init__(self):
        generator = torch.Generator().manual_seed(4)
        self.start = torch.randn(self.samples, 2, 3, generator=generator, dtype=torch.float64)
        self.phase = 4 * torch.linspace(0, 1, self.steps, dtype=torch.float64)
        self.ratio = 1 - 0.5 * torch.rand(self.steps, generator=generator, dtype=torch.float64) / self.steps
        self.scale = torch.full((self.steps,), 4.0 / self.steps, dtype=torch.float64)

    def step_terms(self, states, indices):
        self.evaluated += indices.tolist()
        return torch.sin(self.frequency * states + self.phase[indices].view(-1, 1, 1))

    def combine(self, base, states, terms, first, split, samples):
        split = self.ratio[None] if split is None else split.expand(len(terms), *split.shape[1:])
        x, solution = base, []
        for j in range(terms.shape[1]):
            linear = split[:, j] if split.ndim > 2 else split[:, first + j].view(-1, 1, 1)
            rest = (self.ratio[first + j] - linear) * states[:, j] + self.scale[first + j] * terms[:, j]
            x = linear * x + rest
            solution.append(x)
        return torch.stack(solution, 1)

    def walk(self):
        x, states = self.start, []
        for j in range(self.steps):
            term = torch.sin(self.frequency * x + self.phase[j])
            x = self.ratio[j] * x + self.scale[j] * term
            states.append(x)
        return torch.stack(states, 1)

    def slopes(self, place=None):
        reach = 1.2 * self.frequency * self.scale
        return Slopes(self.ratio, self.ratio - reach, self.ratio + reach, place)


def solved(system, slopes, **options):
    """A run of secant sweeps at its end."""
    return Run(secant_sweeps(system, slopes, **options), len(system.start)).to_end()


def error(solution, exact):
    return ((solution - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)).max().item()


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_tolerance_0_ends_at_the_sequential_result_in_at_most_n_rounds(steps):
    system = Oscillators(steps)
    solution = solved(system, system.slopes(), tol=0.0, nodes=4)
    assert error(solution.last.states(), system.walk()) < 1e-13
    assert solution.rounds.max() <= steps
    assert set(solution.stopped()) == {Stop.CONVERGED}


@pytest.mark.parametrize("steps", [30, 300])
@pytest.mark.parametrize("nodes", [20, 300])
def test_the_last_state_is_within_a_few_tolerances(steps, nodes):
    """The tolerance is of the predicted error, and this system doubles what early states get wrong."""
    system = Oscillators(steps)
    for tol in (1e-2, 1e-3, 1e-4):
        solution = solved(system, system.slopes(), tol=tol, nodes=nodes)
        assert error(solution.last.states()[:, -1], system.walk()[:, -1]) < 3 * tol
        assert set(solution.stopped()) == {Stop.CONVERGED} and solution.last.states().isfinite().all()


def test_a_linear_system_is_solved_once_each_slope_was_seen():
    """Terms with one slope: after two full rounds the secants are exact, so is the third sweep."""
    system = Oscillators(50)
    system.step_terms = lambda states, indices: 0.7 * states + system.phase[indices].view(-1, 1, 1)
    exact = system.start
    for j in range(50):
        exact = system.ratio[j] * exact + system.scale[j] * (0.7 * exact + system.phase[j])
    solution = solved(system, system.slopes(), tol=1e-12, nodes=50, max_rounds=2)
    assert error(solution.last.states()[:, -1], exact) < 1e-12


def test_secants_need_fewer_rounds_than_plain_sweeps():
    system = Oscillators(200, frequency=2.0)
    exact = system.walk()[:, -1]
    told = [r.states()[:, -1].clone() for r in secant_sweeps(system, system.slopes(), tol=1e-6, nodes=200)]
    plain = [r.states()[:, -1].clone() for r in sweeps(system, window=200, tol=1e-6)]

    def reached(states):
        return next(k for k, x in enumerate(states, start=1) if error(x, exact) < 1e-3)

    assert reached(told) < reached(plain)


@pytest.mark.parametrize("begin", [0, 60])
def test_slopes_of_single_elements_need_fewer_rounds_where_jacobians_are_diagonal(begin):
    """This system's are: each element is an oscillator of its own."""
    place = torch.linspace(40, 0, 200, dtype=torch.float64)
    place[:begin] = math.inf
    system = Oscillators(200, frequency=2.0)
    exact, rounds = system.walk(), {}
    for name, slopes in (("one", system.slopes()), ("each", system.slopes(place))):
        solution = solved(system, slopes, tol=1e-10, nodes=200)
        assert set(solution.stopped()) == {Stop.CONVERGED} and error(solution.last.states(), exact) < 1e-8
        rounds[name] = solution.rounds.sum()
    assert rounds["each"] < rounds["one"]


@pytest.mark.parametrize("steps", [2, 40])
def test_with_slopes_of_single_elements_tolerance_0_ends_at_the_sequential_result_too(steps):
    system = Oscillators(steps)
    place = torch.linspace(5, 0, steps, dtype=torch.float64)
    solution = solved(system, system.slopes(place), tol=0.0, nodes=4)
    assert error(solution.last.states(), system.walk()) < 1e-13
    assert solution.rounds.max() <= steps


def test_slopes_of_single_elements_go_with_rounds_of_few_steps():
    place = torch.linspace(40, 0, 500, dtype=torch.float64)
    place[:100] = math.inf
    system = Oscillators(500, frequency=3.0)
    solution = solved(system, system.slopes(place), tol=1e-6, nodes=20)
    assert (
        set(solution.stopped()) == {Stop.CONVERGED}
        and error(solution.last.states()[:, -1], system.walk()[:, -1]) < 3e-6
    )
    sizes = [len(steps) for steps in rounds_of(system.evaluated)]
    assert min(sizes[1:]) < 60 and len(sizes) > 4


def test_terms_are_expected_by_the_slopes_that_states_were_swept_with():
    """So swept states solve the system with the expected terms, whatever those are worth."""
    place = torch.linspace(40, 0, 300, dtype=torch.float64)
    place[:100] = math.inf
    system = Oscillators(300, frequency=3.0, samples=1)
    slopes = system.slopes(place)
    settings = Settings(tol=1e-6, nodes=20, gap=0.03, coarse_tol=0.05, settle_tol=1e-7)
    path, deviations = Path(system, slopes, _knots(system, slopes, place), 0, settings), 0
    for _ in range(6):
        steps = path.choose()
        path.learn(steps, system.step_terms(path.inputs(steps), steps))
        path.sweep()
        rest = slice(path.settled, None)
        ratio, scale = (part[rest].view(-1, 1, 1) for part in (system.ratio, system.scale))
        swept = ratio * path.states[:-1] + scale * path.expected()
        assert torch.allclose(swept, path.states[1:], rtol=0, atol=1e-10)
        deviations += path.linear.deviation is not None
    assert deviations > 2 and path.settled > 2


def test_coarse_rounds_save_evaluations():
    system = Oscillators(500)
    coarse = solved(system, system.slopes(), tol=1e-4, nodes=20)
    fine = solved(system, system.slopes(), tol=1e-4, nodes=500)
    assert (coarse.nfe < 0.7 * fine.nfe).all()
    assert error(coarse.last.states()[:, -1], fine.last.states()[:, -1]) < 4e-4


def test_settled_states_are_never_evaluated_again():
    system = Oscillators(60, samples=1)
    solution = solved(system, system.slopes(), tol=0.0, nodes=60)
    starts = [steps[0] for steps in rounds_of(system.evaluated)]
    assert starts == sorted(set(starts))  # every round begins later than the one before
    assert len(system.evaluated) == int(solution.nfe[0])


def test_each_sample_goes_its_own_way():
    system = Oscillators(100, frequency=1.5)
    together = solved(system, system.slopes(), tol=1e-4, nodes=30)
    for b in range(3):
        alone = Oscillators(100, frequency=1.5)
        alone.start = system.start[b : b + 1]
        solution = solved(alone, alone.slopes(), tol=1e-4, nodes=30)
        assert torch.equal(solution.last.states()[0], together.last.states()[b])
        assert solution.rounds[0] == together.rounds[b]


def test_a_lost_sample_does_not_hold_up_the_others():
    system = Oscillators(30)
    system.start[1] = math.nan
    solution = solved(system, system.slopes(), tol=1e-4, nodes=10)
    assert solution.last.states().flatten(1).isfinite().all(1).tolist() == [True, False, True]
    assert solution.rounds[1] == 1


def test_max_rounds_says_so():
    system = Oscillators(100, frequency=3.0)
    solution = solved(system, system.slopes(), tol=1e-10, nodes=100, max_rounds=2)
    assert set(solution.stopped()) == {Stop.MAX_ITER} and solution.rounds.tolist() == [2, 2, 2]


def rounds_of(evaluated):
    """The steps evaluated in each round, of one sample."""
    starts = [i for i, j in enumerate(evaluated) if i == 0 or j < evaluated[i - 1]]
    return [evaluated[a:b] for a, b in zip(starts, [*starts[1:], len(evaluated)], strict=True)]


def test_nodes_gather_where_the_change_turned():
    """Only steps 200 to 219 of 400 have a term that is not expected, so the first sweep's change turns there alone."""
    system = Oscillators(400, samples=1)
    system.ratio, system.scale = torch.ones(400, dtype=torch.float64), torch.full((400,), 0.1, dtype=torch.float64)
    inner = system.step_terms
    system.step_terms = lambda x, j: inner(x, j) * ((j >= 200) & (j < 220)).view(-1, 1, 1)
    solved(system, system.slopes(), tol=1e-4, nodes=80, gap=1.0)
    first, second, *_ = rounds_of(system.evaluated)
    assert len(first) > 70
    # up to step 200 nothing moved, so all errors are foreseen to be 0 there: those steps are evaluated, then nodes
    assert set(range(2, 200)) < set(second)
    shares = [sum(200 <= j < 220 for j in steps) for steps in (first, second)]
    assert shares[0] <= 4 and shares[1] >= 15
    assert len(second) < 300


def test_nodes_spread_evenly_but_for_closer_ends_before_anything_turned():
    system = Oscillators(1000, samples=1)
    solved(system, system.slopes(), tol=1e-4, nodes=50, max_rounds=1)
    expected = (1000 * (1 - torch.linspace(0, math.pi, 50, dtype=torch.float64).cos()) / 2).round().clamp(0, 999)
    off = torch.tensor(system.evaluated) - expected.unique()
    assert off.abs().max() < 9  # even spacing is off by 90


def test_a_smaller_gap_takes_more_nodes_where_there_are_turns():
    taken = []
    for gap in (1.0, 0.02, 0.01):
        system = Oscillators(500, samples=1)
        solved(system, system.slopes(), tol=1e-4, nodes=10, gap=gap, max_rounds=2)
        taken.append(sum(j > 250 for j in rounds_of(system.evaluated)[1]))  # where no error is foreseen to be small
    assert taken[0] <= 10 < taken[1] < taken[2] < 250


def test_every_other_round_evaluates_all_steps_up_to_the_first_whose_state_is_foreseen_to_be_off():
    system = Oscillators(500, frequency=3.0, samples=1)
    solved(system, system.slopes(), tol=1e-9, nodes=20, gap=1.0, max_rounds=6)
    rounds = rounds_of(system.evaluated)
    full = [max(k for k in range(len(steps)) if steps[k] == steps[0] + k) for steps in rounds]
    assert all(len(steps) <= 20 for steps in rounds[::2])
    assert all(run > 20 for run in full[1::2])
    assert all(len(steps) - run <= 20 for steps, run in zip(rounds[1::2], full[1::2], strict=True))  # nodes beyond


@pytest.mark.parametrize("wrong", [{"tol": -1.0}, {"nodes": 1}, {"gap": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    system = Oscillators(10)
    with pytest.raises(ValueError, match="expected nodes >= 2, gap > 0 and tol >= 0"):
        solved(system, system.slopes(), **{"tol": 1e-3, "nodes": 5, "gap": 0.1} | wrong)


def test_interpolation_is_exact_on_lines_and_constant_outside():
    steps = torch.tensor([3, 5, 11])
    values = torch.stack([2.0 * steps, -1.0 * steps + 1], 1).double()
    solution = Between(steps, 2, 14)(values)
    inside = torch.arange(3, 12).double()
    assert torch.allclose(solution[1:10], torch.stack([2 * inside, 1 - inside], 1))
    assert torch.equal(solution[0], values[0]) and torch.equal(solution[-1], values[-1])
    alone = Between(torch.tensor([4]), 0, 6)(torch.tensor([[7.0]]))
    assert torch.equal(alone, torch.full((6, 1), 7.0))
