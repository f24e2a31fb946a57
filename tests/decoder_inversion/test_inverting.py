"""The driver: traces, best iterates, early stops, budgets of seconds, divergence, clocks."""

import pytest
import torch
from torch import Tensor

from deqbench.decoder_inversion import inverting
from deqbench.decoder_inversion.codec import Codec, nmse
from deqbench.decoder_inversion.inverting import Plateau, run
from tests.decoder_inversion.linear import diagonal, latents
from tests.decoder_inversion.tiny import small_vae


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def relative(codec, z: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        code = codec.encode(x)
        return (codec.encode(codec.decode(z)) - code).flatten(1).norm(dim=1) / code.flatten(1).norm(dim=1)


def test_the_trace_holds_errors_residuals_and_rising_seconds_of_every_iterate():
    codec, truth = diagonal(0.5, 0.6, 0.7, 0.8, 0.9, 1.0), latents(2)
    x = codec.decode(truth)
    inversion = run("forward", codec, x, {"rho": 1.0}, 6, z_true=truth)
    assert inversion.residuals.shape == inversion.nmse.shape == inversion.losses.shape == (7, 2)
    z = codec.encode(x)
    for k in range(7):
        torch.testing.assert_close(inversion.nmse[k], nmse(z, truth))
        torch.testing.assert_close(inversion.residuals[k], relative(codec, z, x), rtol=1e-6, atol=1e-12)
        z = z - (codec.encode_decode(z) - codec.encode(x))
    assert (inversion.seconds.diff() >= 0).all()
    assert inversion.iterations.tolist() == [6, 6]
    assert inversion.stopped == ("max_iter", "max_iter")


@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_image_that_meets_the_tolerance_stays_where_it_did_whatever_the_others_do(keep):
    codec, truth = diagonal(0.5, 0.5, 0.5, 0.8, 0.8, 0.8), latents(2)
    truth[0].view(-1)[:3] = 0  # solved sooner
    x = codec.decode(truth)
    inversion = run("forward", codec, x, {}, 40, tol=1e-6, keep=keep)
    assert inversion.stopped == ("converged", "converged")
    assert 0 < inversion.iterations[0] < inversion.iterations[1] < 40
    assert (relative(codec, inversion.z, x) <= 1e-6).all()
    assert len(inversion.seconds) == int(inversion.iterations.max()) + 1
    alone = run("forward", codec, x[:1], {}, 40, tol=1e-6, keep=keep)
    torch.testing.assert_close(alone.z, inversion.z[:1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_best_iterate_is_no_worse_than_the_start_in_float32(vae, images, precision):
    reference = Codec(vae)
    codec = Codec(vae, precision, state=precision)
    inversion = run("forward", codec, images, {"rho": 1.9}, 12, keep="best", reference=reference)
    with torch.no_grad():
        start = relative(reference, codec.encode(images).float(), images)
    assert (relative(reference, inversion.z.float(), images) <= start * (1 + 1e-5)).all()
    torch.testing.assert_close(
        relative(reference, inversion.z.float(), images).double(), inversion.residuals.amin(0), rtol=1e-3, atol=1e-6
    )


def test_a_run_that_diverges_says_so_and_keeps_its_trace_and_the_best_iterate():
    codec, truth = diagonal(0.5, 0.5, 0.5, 0.5, 0.5, 3.0), latents(2)
    truth[0].view(-1)[5] = 0
    x = codec.decode(truth)
    last = run("forward", codec, x, {"rho": 1e12}, 30, z_true=truth)
    assert last.stopped == ("diverged", "diverged")
    assert not last.z.isfinite().all()
    assert not last.nmse[-1].isfinite().any()
    assert len(last.seconds) < 31  # nobody was left to go on for
    best = run("forward", codec, x, {"rho": 1e12}, 30, keep="best")
    assert best.stopped == ("diverged", "diverged")
    assert torch.equal(best.z, codec.encode(x))


def test_a_budget_of_seconds_ends_the_run_at_once(vae, images):
    inversion = run("forward", Codec(vae), images, {}, 1000, max_seconds=0.0)
    assert inversion.stopped == ("max_seconds",) * 3
    assert len(inversion.seconds) == 1


def test_watching_does_not_count_and_choosing_does(vae, images, monkeypatch):
    now = [0.0]

    def looked_at(*_):
        now[0] += 1.0
        return torch.ones(3, dtype=torch.float64)

    class Slow(Codec):
        def encode(self, x: Tensor) -> Tensor:
            now[0] += 10.0
            return super().encode(x)

    monkeypatch.setattr(inverting.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(inverting, "relative_residual", looked_at)
    watched = run("gradient", Codec(vae), images, {}, 4, reference=Slow(vae))
    assert watched.seconds.tolist() == [0.0] * 5
    now[0] = 0.0
    chosen = run("gradient", Codec(vae), images, {}, 4, keep="best", reference=Slow(vae))
    assert chosen.seconds.tolist() == [11.0, 12.0, 13.0, 14.0, 15.0]


def test_residuals_of_gradients_and_half_precision_are_looked_at_every_so_often(vae, images):
    inversion = run("gradient", Codec(vae), images, {}, 7, every=3)
    assert [bool(row.isfinite().all()) for row in inversion.residuals] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
        True,
    ]
    reference = Codec(vae)
    blind = run("gradient", Codec(vae), images, {}, 7, every=None, reference=reference)
    assert torch.equal(blind.z, inversion.z) and blind.residuals.isnan().all() and not reference.decoded
    half = run("forward", Codec(vae, "bf16"), images, {}, 2, reference=Codec(vae))
    torch.testing.assert_close(half.residuals[2], relative(Codec(vae), half.z, images).double(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "rule", [{"tol": 0.1}, {"keep": "best"}, {"plateau": Plateau(0.1, 2), "z_true": torch.ones(1)}]
)
def test_a_rule_that_looks_at_residuals_or_traces_must_look(vae, images, rule):
    with pytest.raises(ValueError, match="every: expected a number"):
        run("gradient", Codec(vae), images, {}, 1, every=None, **rule)


def test_progress_is_told_and_the_truth_changes_nothing(vae, images):
    seen = []
    plain = run("adam", Codec(vae), images, {}, 3, on_progress=seen.append)
    told = run("adam", Codec(vae), images, {}, 3, z_true=torch.ones(3, 2, 8, 8))
    assert seen == [0, 1, 2, 3]
    assert torch.equal(plain.z, told.z)


def test_the_released_encoder_samples_and_the_papers_does_not(vae, images):
    def once(generator):
        return run("forward", Codec(vae, posterior=generator, copied=True), images, {}, 2).z

    one, other = once(torch.Generator().manual_seed(0)), once(torch.Generator().manual_seed(1))
    assert not torch.equal(one, other)
    assert torch.equal(one, once(torch.Generator().manual_seed(0)))
    assert torch.equal(once(None), once(None))
