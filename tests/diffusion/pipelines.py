"""Our pipeline and diffusers', of one small network, and what compares them."""

from pathlib import Path

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

from deqbench import DEQDDIMPipeline

ROOT = Path(__file__).parents[2]
TIGHT = {"tol": 1e-6}


def unet(**options):
    """A tiny network, untrained, whose output depends on x and t and is about as large as a noise prediction."""
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    sizes = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 8}
    return UNet2DModel(**{"sample_size": 8, "in_channels": 3, "out_channels": 3, **blocks, **sizes, **options}).eval()


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pair(net=None, **config):
    """Ours and diffusers' pipeline of one network and one scheduler's config."""
    scheduler = DDIMScheduler(**{"clip_sample": False, **config})
    net = net or unet()
    return quiet(DEQDDIMPipeline(net, scheduler)), quiet(DDIMPipeline(net, scheduler))


def unclamped(monkeypatch):
    """Lets both pipelines return x_0 itself: images cut to [0, 1] would hide errors."""
    monkeypatch.setattr(torch.Tensor, "clamp", lambda self, low, high: self)


def relative(measured, exact):
    measured, exact = (torch.as_tensor(x).double() for x in (measured, exact))
    return float((measured - exact).norm() / exact.norm())


def seeds(*numbers):
    made = [torch.Generator().manual_seed(number) for number in numbers]
    return made[0] if len(made) == 1 else made


def compare(monkeypatch, ours, theirs, tolerance=1e-3, **options):
    """x_0 of both, tensors (B, C, H, W), asserted to agree."""
    options = {"num_inference_steps": 12, "output_type": "pt", **options}
    generator = options.pop("generator", lambda: seeds(3))
    with monkeypatch.context() as patch:
        if not (ours.scheduler.config.clip_sample or ours.scheduler.config.thresholding):
            unclamped(patch)
        exact = theirs(generator=generator(), **options).images
        measured = ours(generator=generator(), sampler_options=TIGHT, **options)
    assert exact.isfinite().all()
    assert exact.std() > 0.01
    assert relative(measured.images, exact) < tolerance
    return measured
