import pytest
import torch

from deqbench.diffusion.network import NoisePredictor
from deqbench.diffusion.samplers import sample
from deqbench.errors import UserError
from tests.diffusion.chains import make, relative


def textbook(eps, x_T, made, steps, blocks, sweeps):
    """x_0 after each of the sweeps, all blocks of every sweep walked in turn by DDIM's equation 12."""
    alpha_bar = made.alphas_cumprod
    t = list(range(0, 1000, 1000 // steps))[::-1]
    length = steps // blocks

    def ddim(x, j, to):
        here, after = alpha_bar[t[j]], alpha_bar[t[to]] if to < steps else torch.tensor(1.0, dtype=torch.float64)
        e = eps(x, torch.full((len(x),), t[j]))
        return after.sqrt() * (x - (1 - here).sqrt() * e) / here.sqrt() + (1 - after).sqrt() * e

    def coarse(x, i):
        return ddim(x, i * length, (i + 1) * length)

    def fine(x, i):
        for j in range(i * length, (i + 1) * length):
            x = ddim(x, j, j + 1)
        return x

    x = [x_T]
    for i in range(blocks):
        x.append(coarse(x[i], i))
    ends = [x[-1]]
    for _ in range(sweeps):
        new = [x_T]
        for i in range(blocks):
            new.append(coarse(new[i], i) + fine(x[i], i) - coarse(x[i], i))
        x = new
        ends.append(x[-1])
    return ends


def test_the_sweeps_end_where_textbook_parareal_does_after_the_rounds_of_the_pipeline():
    chain, eps, _, made = make(100)
    ends = textbook(eps, chain.x_T, made, 100, 10, 10)
    told = {}
    sample("parareal", chain, {"tol": 0.0}, lambda r: told.update({r.number: r.x0.clone()}))
    assert len(told) == 100
    for k, end in enumerate(ends):
        assert relative(told[10 * k + 10 - k], end) < 1e-11


def test_it_stops_after_the_first_sweep_that_moves_x_0_little():
    chain, eps, _, made = make(100)
    ends = textbook(eps, chain.x_T, made, 100, 10, 10)
    drawn = sample("parareal", chain, {"tol": 1e-2})
    for i in range(2):
        k = next(
            k
            for k in range(1, 11)
            if relative(ends[k][i], ends[k - 1][i]) * float(ends[k - 1][i].norm()) <= 1e-2 * float(ends[k][i].norm())
        )
        assert 1 < k < 10
        assert int(drawn.rounds[i]) == 10 * k + 10 - k
        assert relative(drawn.x0[i], ends[k][i]) < 1e-11


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize(
    ("steps", "blocks"), [(1, None), (2, None), (10, None), (50, None), (50, 25), (50, 1), (50, 7)]
)
def test_run_to_the_end_it_is_the_chain_and_takes_no_more_rounds(steps, blocks, eta):
    chain, *_ = make(steps, eta=eta)
    drawn = sample("parareal", chain, {"tol": 0.0, "blocks": blocks})
    assert relative(drawn.x0, list(chain.walk())[-1]) < 1e-12
    assert drawn.rounds.tolist() == [steps, steps]


def test_a_round_evaluates_no_timestep_of_an_image_twice_and_no_exact_state_again():
    chain, eps, _, made = make(50)
    seen, calls = [], []

    def watched(x, t):
        seen.extend((int(s), state.numpy().tobytes()) for s, state in zip(t, x, strict=True))
        calls.append(t.tolist())
        return eps(x, t)

    object.__setattr__(chain, "eps_model", NoisePredictor(watched, made.alphas_cumprod, max_batch=10_000))
    sample("parareal", chain.select(torch.tensor([0])), {"tol": 0.0})
    assert all(len(set(call)) == len(call) for call in calls)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": 0}, "blocks: expected an integer in"),
        ({"blocks": 6}, "found 6"),
        ({"tol": -1.0}, r"tol: expected a number in \[0, "),
    ],
)
def test_settings_out_of_range_are_one_clear_sentence(options, words):
    chain, *_ = make(10)
    with pytest.raises(UserError, match=words):
        sample("parareal", chain, options)
