"""Draws the same eight digits with diffusers' DDIMPipeline and with DEQDDIMPipeline, and compares them.

    python examples/deq_ddim_pipeline.py

Another checkpoint in diffusers' format: name its folder, or its repository on the hub, as the argument.
"""

import sys

import numpy as np
import torch
from diffusers import DDIMPipeline

from deqbench import DEQDDIMPipeline, zoo

STEPS, IMAGES = 100, 8


def main(checkpoint: str) -> None:
    theirs = DDIMPipeline.from_pretrained(checkpoint)
    ours = DEQDDIMPipeline.from_pretrained(checkpoint)
    settings = {"batch_size": IMAGES, "num_inference_steps": STEPS}
    exact = theirs(generator=torch.Generator().manual_seed(0), **settings)
    drawn = ours(generator=torch.Generator().manual_seed(0), **settings)
    pairs = zip(drawn.images, exact.images, strict=True)
    difference = max(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() for one, other in pairs)
    print(f"{IMAGES} images of {STEPS} steps: pixels differ by {difference} of 255 at most")
    print(f"DDIMPipeline: {STEPS} rounds, {STEPS} network evaluations an image")
    print(f"DEQDDIMPipeline: {max(drawn.rounds)} rounds, {np.mean(drawn.nfe):.0f} network evaluations an image")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(zoo.path("digits")))
