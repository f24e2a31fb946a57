"""DEQDDIMPipeline against diffusers' DDIMPipeline: the same network, scheduler and seeds."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler

from deqbench import DEQDDIMPipeline
from deqbench.diffusion.samplers import samplers
from deqbench.errors import UserError
from tests.diffusion.pipelines import ROOT, TIGHT, compare, pair, quiet, relative, seeds, unclamped, unet


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_equal_seeds_give_the_images_of_diffusers(monkeypatch, batch_size, eta):
    drawn = compare(monkeypatch, *pair(), batch_size=batch_size, eta=eta)
    assert len(drawn.rounds) == len(drawn.nfe) == len(drawn.stopped) == batch_size
    assert set(drawn.stopped) == {"converged"}


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_a_generator_an_image_gives_the_images_of_diffusers(monkeypatch, eta):
    compare(monkeypatch, *pair(), batch_size=3, eta=eta, generator=lambda: seeds(3, 1, 4))


def test_without_a_generator_the_global_one_is_drawn_from_in_the_same_order(monkeypatch):
    compare(monkeypatch, *pair(), eta=0.5, generator=lambda: torch.manual_seed(5) and None)


@pytest.mark.parametrize("eta", [0.0, 0.5])
@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "scaled_linear"},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": np.linspace(1e-3, 0.05, 100).tolist(), "num_train_timesteps": 100},
        {"timestep_spacing": "trailing"},  # 12 steps of 83.3 timesteps, which diffusers walks as if of 83
        {"timestep_spacing": "linspace"},
        {"steps_offset": 1},
        {"steps_offset": 86},  # the last step lands at timestep 3
        {"set_alpha_to_one": False},
        {"set_alpha_to_one": False, "timestep_spacing": "linspace"},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
        {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "beta_schedule": "squaredcos_cap_v2"},
        {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
        {"prediction_type": "sample", "timestep_spacing": "linspace", "rescale_betas_zero_snr": True},
        {"rescale_betas_zero_snr": True},  # leading: the chain does not start at alpha_bar = 0
        {"clip_sample": True},
        {"clip_sample": True, "clip_sample_range": 0.3, "timestep_spacing": "trailing"},
        {"clip_sample": True, "prediction_type": "v_prediction"},
        {"clip_sample": True, "prediction_type": "sample", "timestep_spacing": "linspace"},
        {
            "clip_sample": True,
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": True,
        },
        {"thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5},
    ],
    ids=lambda config: " ".join(f"{k}={v}" if not isinstance(v, list) else k for k, v in config.items()),
)
def test_every_scheduler_config_is_stepped_as_diffusers_does(monkeypatch, config, eta):
    compare(monkeypatch, *pair(**config), batch_size=2, eta=eta)


@pytest.mark.parametrize("config", [{"clip_sample": False}, {"clip_sample": True}, {"thresholding": True}])
def test_clipped_model_output_is_used_as_diffusers_does(monkeypatch, config):
    compare(monkeypatch, *pair(**config), use_clipped_model_output=True)


def test_clipping_changes_the_images():
    plain, _ = pair()
    clipped, _ = pair(clip_sample=True)
    options = {"num_inference_steps": 12, "output_type": "pt"}
    assert relative(clipped(generator=seeds(3), **options).images, plain(generator=seeds(3), **options).images) > 0.01


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_any_number_of_steps_gives_the_images_of_diffusers(monkeypatch, steps):
    compare(monkeypatch, *pair(), num_inference_steps=steps)


@pytest.mark.parametrize("name", [name for name in samplers() if name in ("sequential", "windowed", "joint")])
def test_a_sampler_is_chosen_by_name(monkeypatch, name):
    ours, theirs = pair()
    unclamped(monkeypatch)
    options = {"joint": {"tol": 1e-7, "max_iter": 60}, "windowed": TIGHT}.get(name, {})
    common = {"num_inference_steps": 12, "output_type": "pt"}
    drawn = ours(generator=seeds(3), sampler=name, sampler_options=options, **common)
    assert relative(drawn.images, theirs(generator=seeds(3), **common).images) < 1e-3
    assert (drawn.rounds == [12]) == (name == "sequential")


def test_float64_agrees_to_the_rounding_of_diffusers_tables(monkeypatch):
    compare(monkeypatch, *pair(unet().double()), tolerance=2e-5, eta=0.5, num_inference_steps=50)


def test_a_network_in_half_precision_is_called_in_it_and_gives_its_images():
    half, _ = pair(unet().bfloat16())
    whole, _ = pair(unet())
    latents = torch.randn(1, 3, 8, 8, generator=seeds(2))
    options = {"num_inference_steps": 12, "latents": latents, "output_type": "np"}
    drawn = half(**options).images
    assert drawn.dtype == np.float32
    assert 0 < relative(drawn, whole(**options).images) < 0.05


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_pictures_differ_by_one_level_at_most(eta):
    ours, theirs = pair()
    options = {"batch_size": 3, "eta": eta, "num_inference_steps": 20}
    drawn = ours(generator=seeds(1), sampler_options=TIGHT, **options).images
    exact = theirs(generator=seeds(1), **options).images
    assert [image.size for image in drawn] == [(8, 8)] * 3
    for one, other in zip(drawn, exact, strict=True):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1


def test_output_types_and_the_tuple_are_those_of_diffusers():
    ours, theirs = pair()
    for kind in ("np", "pt"):
        options = {"num_inference_steps": 3, "output_type": kind, "return_dict": False}
        (drawn,), (exact,) = ours(generator=seeds(1), **options), theirs(generator=seeds(1), **options)
        assert type(drawn) is type(exact) and drawn.shape == exact.shape and drawn.dtype == exact.dtype
        assert drawn.min() >= 0 and drawn.max() <= 1


def test_latents_take_the_place_of_the_drawn_noise():
    ours, _ = pair()
    latents = torch.randn(2, 3, 8, 8, generator=seeds(9))
    options = {"batch_size": 2, "num_inference_steps": 5, "output_type": "pt"}
    assert torch.equal(ours(latents=latents, **options).images, ours(generator=seeds(9), **options).images)


def test_a_folder_saved_by_either_pipeline_loads_in_the_other(tmp_path):
    ours, theirs = pair(unet(sample_size=(8, 16)), prediction_type="v_prediction", steps_offset=1)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    options = {"num_inference_steps": 5, "output_type": "pt"}
    exact = ours(generator=seeds(1), **options).images
    loaded = quiet(DEQDDIMPipeline.from_pretrained(tmp_path / "theirs"))
    assert relative(loaded(generator=seeds(1), **options).images, exact) < 1e-5
    loaded = quiet(DDIMPipeline.from_pretrained(tmp_path / "ours"))
    assert relative(loaded(generator=seeds(1), **options).images, exact) < 1e-3
    assert exact.shape == (1, 3, 8, 16)


def test_the_callback_sees_every_round_and_at_last_the_image():
    ours, _ = pair()
    seen = []

    def watch(pipe, number, timestep, tensors):
        assert pipe is ours and timestep == 0
        seen.append((number, tensors["latents"].clone()))

    latents = torch.randn(3, 3, 8, 8, generator=seeds(1))
    latents[2] = 0  # takes a round more than the others
    drawn = ours(3, latents=latents, num_inference_steps=30, output_type="pt", callback_on_step_end=watch)
    assert drawn.rounds[2] > drawn.rounds[0]
    assert [number for number, _ in seen] == list(range(max(drawn.rounds)))
    assert max(drawn.rounds) < 30
    assert all(latents.shape == (3, 3, 8, 8) for _, latents in seen)
    assert torch.equal((seen[-1][1] / 2 + 0.5).clamp(0, 1), drawn.images)


def test_the_counts_are_those_of_the_network():
    net, count = unet(), []
    net.register_forward_hook(lambda module, args, out: count.append(len(args[0])))
    ours, _ = pair(net)
    drawn = ours(2, seeds(1), num_inference_steps=30, max_batch=7)
    assert sum(drawn.nfe) == sum(count)
    assert max(count) <= 7
    zero_snr = DDIMScheduler(
        clip_sample=False, rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction"
    )
    count.clear()
    drawn = quiet(DEQDDIMPipeline(net, zero_snr))(2, seeds(1), num_inference_steps=30)
    assert sum(drawn.nfe) == sum(count)


def test_an_interrupted_call_returns_what_it_had_reached():
    ours, _ = pair()
    reached = []

    def stop(pipe, number, timestep, tensors):
        reached.append(tensors["latents"].clone())
        pipe._interrupt = number == 2

    drawn = ours(2, seeds(1), num_inference_steps=30, output_type="pt", callback_on_step_end=stop)
    assert drawn.stopped == ("interrupted",) * 2
    assert drawn.rounds == [3, 3] and min(drawn.nfe) > 3
    assert torch.equal((reached[-1] / 2 + 0.5).clamp(0, 1), drawn.images)
    assert set(ours(2, seeds(1), num_inference_steps=30).stopped) == {"converged"}


def test_the_progress_bar_counts_rounds(capsys):
    ours, _ = pair()
    ours.set_progress_bar_config(disable=False)
    drawn = ours(1, seeds(1), num_inference_steps=30)
    assert f"{drawn.rounds[0]}/30" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ({}, {"num_inference_steps": 0}, "num_inference_steps: expected a whole number from 1 to 1000; found 0"),
        ({}, {"num_inference_steps": 1001}, "from 1 to 1000; found 1001"),
        ({}, {"num_inference_steps": 2.5}, "found 2.5"),
        ({"steps_offset": 1}, {"num_inference_steps": 1000}, "timesteps from 1 to 1000"),
        ({"timestep_spacing": "trailing"}, {"num_inference_steps": 61}, "timesteps from -1 to 999"),
        ({}, {"eta": 1.5}, r"eta: expected a number in \[0, 1\]; found 1.5"),
        ({}, {"output_type": "pilot"}, "did you mean 'pil'"),
        ({}, {"latents": torch.zeros(2, 3, 8, 8)}, r"latents: expected shape \(1, 3, 8, 8\)"),
        ({}, {"generator": [torch.Generator()] * 2}, "generator: expected one, or a list of 1"),
        ({}, {"sampler": "sequentail"}, "did you mean 'sequential'"),
        ({}, {"sampler": "windowed", "sampler_options": {"windw": 3}}, "did you mean 'window'"),
        ({}, {"distributed": True}, "seeded alike on every rank"),
        ({"prediction_type": "flow"}, {}, "prediction_type: expected one of epsilon, sample, v_prediction"),
        ({"clip_sample": True, "set_alpha_to_one": False}, {}, "set_alpha_to_one: expected True"),
        ({"clip_sample": True}, {"sampler": "heun"}, "sampler heun: expected no clip_sample, since its steps are not"),
        ({"thresholding": True}, {"sampler": "fewer-steps"}, "expected no clip_sample, since its steps are not those"),
        (
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
            {},
            "prediction_type: expected v_prediction or sample where alpha_bar_T is 0",
        ),
        (
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "sample"},
            {"num_inference_steps": 1},
            "expected at least 2",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(config, options, words):
    ours, _ = pair(**config)
    with pytest.raises(UserError, match=words):
        ours(**options)


def test_a_network_without_a_size_needs_latents():
    ours, _ = pair(unet(sample_size=None))
    with pytest.raises(UserError, match="latents: expected a tensor"):
        ours()
    assert ours(latents=torch.zeros(1, 3, 4, 4), num_inference_steps=2, output_type="pt").images.shape == (1, 3, 4, 4)


def test_importing_the_package_stays_light():
    code = "import sys, deqbench; assert 'torch' not in sys.modules; deqbench.DEQDDIMPipelin"
    drawn = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "AttributeError: module 'deqbench' has no attribute 'DEQDDIMPipelin'" in drawn.stderr


def test_the_example_draws_the_images_of_diffusers_in_fewer_rounds():
    command = [sys.executable, ROOT / "examples" / "deq_ddim_pipeline.py"]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert drawn.returncode == 0, drawn.stderr
    difference = int(re.search(r"differ by (\d+) of 255", drawn.stdout)[1])
    steps, rounds = (int(number) for number in re.findall(r": (\d+) rounds", drawn.stdout))
    assert difference <= 1
    assert rounds < steps / 2
