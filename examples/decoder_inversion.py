"""Latents behind images of an autoencoder: the encoder's guess against two inversions of the decoder.

Any `pipe.vae` of a latent-diffusion pipeline takes the place of the shipped one. Runs in seconds on a processor.
"""

from pathlib import Path

import torch

import deqbench
from deqbench.data import autoencoders
from deqbench.data.datasets import build
from deqbench.decoder_inversion.codec import Codec, decibel, nmse, quantised

vae = autoencoders.load(Path(deqbench.__file__).parent / "zoo" / "patches-vae")
codec = Codec(vae)
with torch.no_grad():
    z = codec.encode(build("patches").test[::60])  # the latents to be found again
    images = quantised(codec.decode(z))  # as 8-bit files hold them

for method in ("encoder", "adam", "ours"):
    inversion = deqbench.invert_decoder(vae, images, method=method, iterations=10, progress=False)
    error = float(decibel(nmse(inversion.latents, z)).mean())
    print(f"{method:8} {error:6.2f} dB in {float(inversion.seconds[-1]):.2f} s, stopped: {inversion.stop[0]}")
