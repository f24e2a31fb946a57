"""DEQDDIMPipeline.invert: what it draws from its latents are the images that it was given."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from deqbench.diffusion.gradients import loss
from deqbench.errors import UserError
from tests.diffusion.pipelines import ROOT, pair, relative, seeds, unclamped

STEPS = 6


def drawn(pipe, monkeypatch, eta=0.0, **options):
    """Images (B, C, H, W) in about [-1, 1] that the pipeline draws, uncut."""
    with monkeypatch.context() as patch:
        unclamped(patch)
        options = {"num_inference_steps": STEPS, "output_type": "pt", "eta": eta, **options}
        return pipe(**options, sampler="sequential").images * 2 - 1


@pytest.mark.parametrize("start", ["noise", "encoding"])
def test_the_latents_give_the_images_again(monkeypatch, start):
    pipe, _ = pair()
    images = drawn(pipe, monkeypatch, batch_size=2, generator=seeds(3, 4))
    seen = []
    inversion = pipe.invert(
        images,
        num_inference_steps=STEPS,
        generator=seeds(5),
        start=start,
        threshold=1e-6,
        callback_on_update_end=lambda pipe, update, tensors: seen.append((update, tensors["latents"].shape)),
    )
    again = drawn(pipe, monkeypatch, batch_size=2, latents=inversion.latents)
    assert set(inversion.stopped) == {"converged"}
    assert (inversion.losses <= 1e-6).all()
    assert relative(again, images) < 1e-3
    torch.testing.assert_close(inversion.losses, loss(inversion.reconstructions, images))
    assert [update for update, _ in seen] == list(range(len(seen)))
    assert len(seen) == max(inversion.steps)


def test_with_noises_the_same_generator_gives_the_images_again(monkeypatch):
    pipe, _ = pair()
    images = drawn(pipe, monkeypatch, eta=0.3, generator=seeds(3))
    inversion = pipe.invert(images, STEPS, seeds(3), 0.3, threshold=1e-6)
    again, same = inversion.latents, seeds(3)
    torch.randn(1, 3, 8, 8, generator=same)  # the draw of x_T comes before those of the noises
    assert inversion.noise.shape == (1, STEPS, 3, 8, 8)
    assert relative(drawn(pipe, monkeypatch, eta=0.3, latents=again, generator=same), images) < 1e-3


def test_a_gradient_is_descended():
    pipe, _ = pair()
    images = torch.zeros(2, 3, 8, 8)
    options = {"epochs": 5, "lr": 0.1}
    inversion = pipe.invert(images, STEPS, seeds(3), gradient="backprop", method_options=options)
    start = pipe.invert(images, STEPS, seeds(3), gradient="backprop", method_options={**options, "lr": 0.0})
    assert (inversion.losses < start.losses).all()
    assert inversion.vjps == [6 * STEPS] * 2
    assert inversion.steps == [5, 5]


def test_pictures_arrays_and_tensors_are_the_same_images():
    pipe, _ = pair()
    tensor = torch.randint(0, 256, (2, 3, 8, 8), generator=seeds(0)) / 255
    array = tensor.permute(0, 2, 3, 1).numpy()
    options = {"num_inference_steps": 3, "method": "encoding"}
    inversion = [pipe.invert(images, **options).latents for images in (tensor * 2 - 1, array, pipe.numpy_to_pil(array))]
    for other in inversion[1:]:
        assert relative(other, inversion[0]) < 1e-5


def test_time_and_callbacks_end_it():
    pipe, _ = pair()
    images = torch.zeros(1, 3, 8, 8)
    inversion = pipe.invert(images, STEPS, max_seconds=0.0)
    assert inversion.stopped == ("max_seconds",)

    def stop(pipe, update, tensors):
        pipe._interrupt = update == 2

    inversion = pipe.invert(images, STEPS, callback_on_update_end=stop)
    assert inversion.stopped == ("interrupted",)
    assert inversion.steps == [3]
    assert inversion.nfe == [3 * STEPS]


@pytest.mark.parametrize(
    ("config", "options", "sentence"),
    [
        ({"clip_sample": True}, {}, "clip_sample: expected False"),
        ({"thresholding": True}, {}, "thresholding: expected False"),
        (
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
            {},
            "alpha",
        ),
        ({}, {"start": "zeros"}, "start: expected one of encoding, noise"),
        ({}, {"method": "sweep"}, "did you mean 'sweeps'"),
        ({}, {"method": "encoding", "gradient": "backprop"}, "gradient: expected none; found an unknown option"),
        ({}, {"method": "encoding", "threshold": 1.0}, "threshold: expected None for encoding"),
        ({}, {"images": torch.zeros(1, 1, 8, 8)}, "images: expected shape"),
        ({}, {"num_inference_steps": 0}, "num_inference_steps: expected"),
    ],
)
def test_what_cannot_be_inverted_is_refused_by_a_sentence(config, options, sentence):
    pipe, _ = pair(**config)
    with pytest.raises(UserError, match=sentence):
        pipe.invert(**{"images": torch.zeros(1, 3, 8, 8), "num_inference_steps": STEPS, **options})


def test_the_example_finds_latents_that_draw_its_digits():
    command = [sys.executable, ROOT / "examples" / "deq_ddim_inversion.py"]
    inversion = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert inversion.returncode == 0, inversion.stderr
    losses = [float(number) for number in re.findall(r"loss ([\d.e+-]+)", inversion.stdout)]
    assert losses[1] < losses[0]
    assert np.isfinite(losses).all()
