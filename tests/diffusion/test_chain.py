import pytest
import torch
from diffusers import DDPMScheduler

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.schedule import Schedule, timesteps
from deqbench.solvers import solve
from deqbench.solvers.rounds import Run
from deqbench.solvers.triangular import sweeps
from tests import oracles
from tests.diffusion.chains import make, relative


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50, 100, 1000])
def test_the_sequential_chain_is_the_one_that_diffusers_walks(steps, eta):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        chain, eps, noise, made = make(steps, eta=eta, dtype=dtype, double=dtype == torch.float64)
        walked = oracles.diffusers_walk(eps, chain.x_T, steps, eta, noise, made)
        assert relative(torch.stack(list(chain.walk()), 1), walked) < tolerance


@pytest.mark.parametrize("set_alpha_to_one", [True, False])
def test_the_last_step_lands_where_that_of_diffusers_does(set_alpha_to_one):
    chain, eps, _, made = make(10, set_alpha_to_one=set_alpha_to_one)
    walked = oracles.diffusers_walk(eps, chain.x_T, 10, 0.0, None, made)
    assert relative(list(chain.walk())[-1], walked[:, -1]) < 1e-12


@pytest.mark.parametrize("grid", ["quadratic-paper", "quadratic-released", "uniform-paper"])
@pytest.mark.parametrize("steps", [10, 50, 100])
def test_other_grids_equal_an_independent_loop(grid, steps):
    chain, eps, _, made = make(steps, grid=grid)
    walked = oracles.textbook_walk(eps, chain.x_T, timesteps(grid, steps).tolist(), made.alphas_cumprod, 1.0)
    assert relative(torch.stack(list(chain.walk()), 1), walked) < 1e-12


@pytest.mark.parametrize("steps", [10, 100])
def test_the_larger_variance_is_that_of_ddpm_in_diffusers(steps):
    chain, eps, noise, _ = make(steps, eta=1.0, variance="large")
    ddpm = DDPMScheduler(clip_sample=False, timestep_spacing="leading", variance_type="fixed_large")
    ddpm.alphas_cumprod = ddpm.alphas_cumprod.double()
    ddpm.one = ddpm.one.double()
    ddpm.set_timesteps(steps)
    x = chain.x_T
    for j, t in enumerate(ddpm.timesteps):
        mean_and_own = ddpm.step(eps(x, t.expand(len(x))), t, x, generator=torch.Generator().manual_seed(0)).prev_sample
        own = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        spread = ddpm._get_variance(t, variance_type="fixed_large") ** 0.5 if t > 0 else 0.0
        x = mean_and_own + spread * (noise[:, j] - own)
    assert relative(list(chain.walk())[-1], x) < 1e-10


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_as_many_picard_rounds_as_steps_give_the_sequential_chain(steps, eta):
    grid = "uniform-paper"  # any T
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        chain, *_ = make(steps, eta=eta, dtype=dtype, grid=grid, double=dtype == torch.float64)
        solution = solve(chain, chain.initial(), solver="picard", tol=0.0, max_iter=steps)
        walked = torch.stack(list(chain.walk()), 1)
        assert relative(solution.z, walked) < tolerance
        assert solution.z.dtype == dtype


@pytest.mark.parametrize("solver", ["picard", "anderson"])
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9])
def test_the_fixed_point_agrees_with_the_sequential_chain_to_the_tolerance(solver, tol):
    chain, *_ = make(50)
    solution = solve(chain, chain.initial(), solver=solver, tol=tol, max_iter=200)
    assert solution.converged.all()
    walked = torch.stack(list(chain.walk()), 1)
    assert relative(solution.z, walked) < 50 * tol


def test_after_k_picard_rounds_the_first_k_states_are_exact():
    chain, *_ = make(20, eta=0.5)
    walked = torch.stack(list(chain.walk()), 1)
    for k in (1, 5):
        solution = solve(chain, chain.initial("zeros"), solver="picard", tol=0.0, max_iter=k)
        assert relative(solution.z[:, :k], walked[:, :k]) < 1e-12
        assert relative(solution.z[:, k:], walked[:, k:]) > 1e-6


@pytest.mark.parametrize("split", ["eps", "drift", "other", "elements"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_sequential_chain_is_a_fixed_point_under_every_linear_split(split, eta):
    chain, *_ = make(30, eta=eta, grid="uniform-paper")
    walked = torch.stack(list(chain.walk()), 1)
    states = torch.cat([chain.x_T[:, None], walked[:, :-1]], 1)
    terms = chain.step_terms(states.flatten(0, 1), torch.arange(30).repeat(2)).unflatten(0, (2, 30))
    elements = 0.9 + 0.3 * torch.rand(terms.shape, generator=torch.Generator().manual_seed(3))
    linear = {"eps": None, "drift": torch.ones(30), "other": torch.linspace(0.9, 1.2, 30), "elements": elements}[split]
    linear = linear if linear is None else linear.double()
    assert relative(chain.combine(chain.x_T, states, terms, 0, linear), walked) < 1e-12


def test_a_split_of_groups_is_that_of_their_elements():
    chain, *_ = make(25)
    states = torch.randn(2, 25, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(7)).double()
    terms = states.flip(0)
    groups = (
        0.9 + 0.3 * torch.rand(2, 25, chain.x_T.shape[1], 1, 1, generator=torch.Generator().manual_seed(3)).double()
    )
    solution = chain.combine(chain.x_T, states, terms, split=groups)
    assert torch.equal(solution, chain.combine(chain.x_T, states, terms, split=groups.expand_as(states)))


def test_a_split_of_every_element_treats_its_linear_part_exactly():
    """Terms that are linear, element by element: one sweep from anywhere ends at the solution."""
    chain, *_ = make(25)
    factors = 0.5 * torch.rand(25, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(5)).double()
    known = 1.0 + torch.rand(25, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(6)).double()
    x, walked = chain.x_T, []
    for j in range(25):
        x = chain.ratio[j] * x + chain.scale[j] * (factors[j] * x + known[j])
        walked.append(x)
    states = torch.randn(2, 25, *chain.x_T.shape[1:], generator=torch.Generator().manual_seed(7)).double()
    states[:, 0] = chain.x_T
    shape = (-1, *[1] * (factors.ndim - 1))
    slopes = (chain.ratio.view(shape) + chain.scale.view(shape) * factors).expand_as(states)
    solution = chain.combine(chain.x_T, states, factors * states + known, 0, slopes)
    assert relative(solution, torch.stack(walked, 1)) < 1e-12


@pytest.mark.parametrize("split", ["eps", "drift"])
@pytest.mark.parametrize("window", [1, 7, 40])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_windowed_sweeps_run_to_the_end_give_the_sequential_chain(window, split, eta):
    chain, *_ = make(40, eta=eta)
    linear = torch.ones(40, dtype=torch.float64) if split == "drift" else None
    run = Run(sweeps(chain, window=window, tol=0.0, split=linear), len(chain.x_T)).to_end()
    assert relative(run.last.states(), torch.stack(list(chain.walk()), 1)) < 1e-12
    if window == 1:
        assert run.rounds.tolist() == run.nfe.tolist() == [40, 40]


def test_selected_chains_are_the_chains_themselves():
    chain, *_ = make(10, eta=0.5)
    whole = torch.stack(list(chain.walk()), 1)
    part = torch.stack(list(chain.select(torch.tensor([1])).walk()), 1)
    assert relative(part, whole[1:]) < 1e-14


def test_a_stochastic_chain_without_its_noise_is_refused():
    chain, eps, _, made = make(10)
    with pytest.raises(ValueError, match="noise"):
        DDIMChain.make(eps, Schedule.of(made), "uniform-released", 10, chain.x_T, eta=0.5)
