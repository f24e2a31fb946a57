"""Every inverter against closed forms of a linear pair, torch's own optimisers and autograd."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import Iterate, invert, inverters
from deqbench.decoder_inversion.inverters.gradient import pixel_gradient
from deqbench.errors import UserError
from tests.decoder_inversion.linear import SHAPE, diagonal, latents
from tests.decoder_inversion.tiny import small_vae

EIGENVALUES = (0.4, 0.7, 0.9, 1.0, 1.2, 1.5)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return small_vae()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def steps(name: str, codec, x: Tensor, z: Tensor | None, iterations: int, **options) -> list[Iterate]:
    result = []
    invert(
        name, codec, x, z, options, iterations=iterations,
        on_iterate=lambda step: result.append(replace(step, z=step.z.clone())),
    )  # fmt: skip
    return result


@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_each_forward_step_multiplies_the_error_by_one_minus_rho_lambda(rho):
    codec, truth, start = diagonal(*EIGENVALUES), latents(4), latents(4, seed=1)
    factor = 1 - rho * torch.tensor(EIGENVALUES, dtype=torch.float64).view(SHAPE)
    for step in steps("forward", codec, codec.decode(truth), start, 9, rho=rho):
        torch.testing.assert_close(step.z - truth, (start - truth) * factor**step.number, rtol=1e-12, atol=1e-14)


def test_inertial_iterations_follow_the_powers_of_their_companion_matrix():
    codec, truth, start, alpha, size = diagonal(*EIGENVALUES), latents(3), latents(3, seed=1), 0.6, 0.8
    lam = torch.tensor(EIGENVALUES, dtype=torch.float64)
    slow = 1 - size * lam
    companion = torch.zeros(6, 2, 2, dtype=torch.float64)  # (e, e_before) of each eigenvalue
    companion[:, 0, 0], companion[:, 0, 1], companion[:, 1, 0] = slow * (1 + alpha), -slow * alpha, 1
    error = (start - truth).flatten(1)
    pair = torch.stack((error, error), 2)  # (B, 6, 2), z_{-1} = z_0
    for step in steps("inertial", codec, codec.decode(truth), start, 12, alpha=alpha, step=size):
        expected = torch.einsum("dij,bdj->bdi", torch.linalg.matrix_power(companion, step.number), pair)[..., 0]
        torch.testing.assert_close((step.z - truth).flatten(1), expected, rtol=1e-11, atol=1e-13)


def test_inertial_iterations_without_inertia_are_forward_steps(vae, images):
    codec = Codec(vae)
    forward = steps("forward", codec, images, None, 5, rho=0.3)
    inertial = steps("inertial", codec, images, None, 5, alpha=0.0, step=0.3)
    for left, right in zip(forward, inertial, strict=True):
        torch.testing.assert_close(left.z, right.z, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("schedule", ["fixed", "warmup-cosine"])
def test_adam_is_torchs_adam_fed_with_the_residual(vae, images, schedule):
    from deqbench.decoder_inversion.schedules import rates

    codec = Codec(vae)
    with torch.no_grad():
        code = codec.encode(images)
        z = code.clone().requires_grad_()
        own = torch.optim.Adam([z], betas=(0.8, 0.99), eps=1e-5)
        for rate in rates(0.05, schedule, 12):
            z.grad = codec.encode(codec.decode(z)) - code
            own.param_groups[0]["lr"] = rate
            own.step()
    options = {"lr": 0.05, "schedule": schedule, "beta1": 0.8, "beta2": 0.99, "eps": 1e-5}
    torch.testing.assert_close(invert("adam", codec, images, None, options, iterations=12), z.detach())


def test_half_precision_states_take_the_released_codes_epsilon(vae, images):
    codec = Codec(vae, "fp32", state="fp16")
    result = invert("adam", codec, images, None, {"lr": 0.05}, iterations=3)
    told = invert("adam", codec, images, None, {"lr": 0.05, "eps": 1e-4}, iterations=3)
    assert result.dtype == torch.float16
    assert torch.equal(result, told)


def test_the_gradient_method_is_torchs_adam_on_autograds_gradient(vae, images):
    codec = Codec(vae)
    z = codec.encode(images).detach().clone().requires_grad_()
    own = torch.optim.Adam([z], lr=0.1)
    losses = []
    for _ in range(6):
        own.zero_grad()
        loss = (vae.decode(z / codec.scale).sample - images).square().sum()
        loss.backward()
        losses.append(loss.item())
        own.step()
    result = steps("gradient", codec, images, None, 6, lr=0.1)
    torch.testing.assert_close(result[-1].z, z.detach())
    assert [float(step.loss.sum()) for step in result[:-1]] == pytest.approx(losses, rel=1e-5)


def test_lbfgs_solves_a_linear_least_squares_problem_image_by_image():
    codec, truth = diagonal(*EIGENVALUES), latents(3)
    x = codec.decode(truth)
    result = invert("gradient", codec, x, None, {"optimizer": "lbfgs", "lr": 1.0}, iterations=8)
    alone = invert("gradient", codec, x[1:2], None, {"optimizer": "lbfgs", "lr": 1.0}, iterations=8)
    torch.testing.assert_close(result, truth, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(result[1:2], alone, rtol=1e-9, atol=1e-12)


def test_checkpoints_change_nothing_and_are_switched_off_again(vae, images):
    codec = Codec(vae)
    plain = invert("gradient", codec, images, None, {}, iterations=2)
    calls = []
    handle = vae.decoder.mid_block.register_forward_pre_hook(lambda *_: calls.append(1))
    saved = invert("gradient", codec, images, None, {"checkpointing": True}, iterations=2)
    handle.remove()
    torch.testing.assert_close(saved, plain)
    assert len(calls) == 4  # evaluated again in each backward pass
    assert not vae.decoder.gradient_checkpointing


def test_tiles_larger_than_the_image_change_nothing_and_smaller_ones_little(vae, images):
    codec = Codec(vae)
    plain = invert("gradient", codec, images, None, {}, iterations=2)
    whole = invert("gradient", codec, images, None, {"tiling": 16}, iterations=2)
    tiled = invert("gradient", codec, images, None, {"tiling": 8}, iterations=2)
    assert torch.equal(plain, whole)
    assert not torch.equal(plain, tiled)
    assert not vae.use_tiling


def test_a_loss_scale_leaves_loss_and_gradient_as_they_are(vae, images):
    z = Codec(vae).encode(images).detach()
    loss, gradient = pixel_gradient(Codec(vae), images, z)
    scaled_loss, scaled = pixel_gradient(Codec(vae), images, z, 1024.0)
    torch.testing.assert_close(scaled, gradient, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scaled_loss, loss)
    plain = invert("gradient", Codec(vae), images, None, {"lr": 0.05}, iterations=2)
    told = invert("gradient", Codec(vae), images, None, {"lr": 0.05, "loss_scale": 1024.0}, iterations=2)
    torch.testing.assert_close(plain, told, rtol=1e-4, atol=1e-5)


def test_an_image_that_is_not_finite_does_not_disturb_the_mixing_of_the_others(vae, images):
    codec = Codec(vae)
    start = codec.encode(images).detach() + 0.1
    alone = invert("anderson", codec, images[1:], start[1:], {"rho": 0.5}, iterations=5)
    start[0] = float("nan")
    whole = invert("anderson", codec, images, start, {"rho": 0.5}, iterations=5)
    torch.testing.assert_close(whole[1:], alone, rtol=1e-3, atol=1e-4)
    assert not whole[0].isfinite().any()


def test_anderson_solves_a_linear_pair_of_six_dimensions_in_seven_steps():
    codec, truth = diagonal(*EIGENVALUES), latents(4)
    x = codec.decode(truth)
    errors = [float((step.z - truth).norm()) for step in steps("anderson", codec, x, None, 8, m=8)]
    assert errors[7] < 1e-9 * errors[0]
    assert errors[4] > 1e-4 * errors[0]


def test_anderson_with_one_evaluation_mixed_is_the_forward_step(vae, images):
    codec = Codec(vae)
    result = invert("anderson", codec, images, None, {"m": 1, "rho": 0.5}, iterations=4)
    torch.testing.assert_close(
        result, invert("forward", codec, images, None, {"rho": 0.5}, iterations=4), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", sorted(set(inverters()) - {"encoder"}))
def test_every_method_tells_its_start_and_each_iterate_once_and_returns_the_last(name, vae, images):
    codec, start = Codec(vae), torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(5))
    result = steps(name, codec, images, start, 4)
    assert [step.number for step in result] == [0, 1, 2, 3, 4]
    assert torch.equal(result[0].z, start)
    assert torch.equal(result[-1].z, invert(name, codec, images, start, {}, iterations=4))
    for step in result:
        if step.residual is not None:
            own = (codec.encode(codec.decode(step.z)) - codec.encode(images)).flatten(1).norm(dim=1)
            torch.testing.assert_close(step.residual, own.detach(), rtol=1e-3, atol=1e-5)
        if step.loss is not None:
            own = (codec.decode(step.z) - images).square().flatten(1).sum(1)
            torch.testing.assert_close(step.loss, own.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(inverters()) - {"encoder"}))
def test_every_method_stops_where_it_is_told(name, vae, images):
    seen = []
    invert(
        name,
        Codec(vae),
        images,
        None,
        {},
        iterations=9,
        on_iterate=lambda step: bool(seen.append(step.number)) or len(seen) == 3,
    )
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("name", sorted(inverters()))
def test_images_of_a_batch_do_not_touch_each_other(name, vae, images):
    codec = Codec(vae)
    whole = invert(name, codec, images, None, {}, iterations=5)
    alone = invert(name, codec, images[2:], None, {}, iterations=5)
    torch.testing.assert_close(whole[2:], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(inverters()))
def test_every_method_takes_frames_of_video_and_leaves_the_start_alone(name, vae):
    frames = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    codec = Codec(vae)
    start = codec.encode(frames).detach()
    kept = start.clone()
    result = invert(name, codec, frames, start, {}, iterations=2)
    assert result.shape == (2, 3, 2, 8, 8)
    assert torch.equal(start, kept)


def test_bad_settings_are_told_in_one_sentence(vae, images):
    for name, options in (
        ("forward", {"rho": 0.0}), ("inertial", {"alpha": 1.0}), ("adam", {"lr": -1.0}), ("anderson", {"rho": 0.0}),
        ("gradient", {"optimizer": "sgd"}), ("gradient", {"loss_scale": 0.0}), ("adam", {"schedule": "linear"}),
    ):  # fmt: skip
        (option,) = options
        with pytest.raises(UserError, match=f"inverter {name}: {option}: expected .* found"):
            invert(name, Codec(vae), images, None, options, iterations=2)


def test_ours_with_a_single_iterate_is_the_forward_step_and_without_limits_mixes_by_least_squares(vae):
    codec, truth = diagonal(*EIGENVALUES), latents(2)
    x = codec.decode(truth)
    plain = invert("ours", codec, x, None, {"m": 1, "rho": 0.5, "cut": False}, iterations=3)
    torch.testing.assert_close(plain, invert("forward", codec, x, None, {"rho": 0.5}, iterations=3))
    errors = [float((step.z - truth).norm()) for step in steps("ours", codec, x, None, 8, m=8, ridge=0.0, cut=False)]
    assert errors[7] < 1e-4 * errors[0]


@pytest.mark.parametrize(("m", "left"), [(1, 0.2), (8, 1e-6)])
def test_ours_shortens_encoder_steps_that_lead_away_and_stays_at_its_best(m, left):
    codec, truth = diagonal(3.0, 4.0, 0.5, 1.0, 2.5, 5.0), latents(2)
    x = codec.decode(truth)
    away = [float((step.z - truth).norm()) for step in steps("forward", codec, x, None, 12, rho=1.0)]
    assert away[-1] > 1e3 * away[0]
    walked = list(steps("ours", codec, x, None, 12, m=m, cut=False))
    errors = torch.stack([(codec.decode(step.z) - x).square().flatten(1).sum(1) for step in walked])
    for step, error in zip(walked[:-1], errors, strict=False):
        torch.testing.assert_close(step.loss, error.float())
    assert (errors[-1] < left * errors[0]).all()
    # an image goes on from its best: after an error that rose comes one at most as large as the least before it
    rose = errors[1:-1] > errors[:-2]
    assert (errors[2:] <= errors.cummin(0).values[:-2])[rose].all()
    assert m > 1 or rose.any()


def test_ours_takes_cut_pixels_for_what_they_are():
    codec, truth = diagonal(1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 4 * latents(2)
    x = codec.decode(truth).clamp(-1, 1)
    assert (x.abs() == 1).any()
    start = truth + 0.01 * latents(2, seed=9)

    def error(**options) -> float:
        return float((invert("ours", codec, x, start, options, iterations=6) - truth).norm())

    # E D is the identity: without cutting, the first step already goes to E of what is left of the image
    assert error(cut=True, m=1) < 0.1 * error(cut=False, m=1)
