"""Finds the latents from which DDIM draws four test digits: by DDIM encoding, then by DEQDDIMPipeline's default.

    python examples/deq_ddim_inversion.py

Another checkpoint in diffusers' format, of digits: name its folder as the argument.
"""

import sys

import numpy as np
import torch

from deqbench import DEQDDIMPipeline, zoo
from deqbench.data import datasets

STEPS, IMAGES = 10, 4


def main(checkpoint: str) -> None:
    pipe = DEQDDIMPipeline.from_pretrained(checkpoint)
    images = datasets.build("digits").test[:IMAGES]
    for method in ("encoding", "sweeps"):
        inversion = pipe.invert(images, STEPS, torch.Generator().manual_seed(0), method=method)
        mean, nfe = float(inversion.losses.mean()), np.mean(inversion.nfe)
        print(f"{method}: loss {mean:.1e} a digit, {nfe:.0f} network evaluations, {set(inversion.stopped)}")
    redrawn = pipe(IMAGES, num_inference_steps=STEPS, latents=inversion.latents, output_type="pt").images
    print(f"pixels drawn again differ by {255 * (redrawn - (images / 2 + 0.5)).abs().max():.1f} of 255 at most")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(zoo.path("digits")))
