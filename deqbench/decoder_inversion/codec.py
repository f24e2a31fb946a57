"""An autoencoder's two halves as maps between images and latents, in a chosen precision, with every call counted."""

import copy
from typing import Any, get_args

import torch
from torch import Tensor, nn

from deqbench.decoder_inversion import Precision
from deqbench.errors import UserError

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Codec:
    """E and D of a diffusers AutoencoderKL or AutoencoderTiny, between images x and scaled latents z.

    z is in the units of the diffusion model: the code, less shift_factor, times scaling_factor. Images and latents come
    and go in float32 unless `state` says otherwise; the network runs in `precision`. Both maps take (B, C, H, W), or
    frames (B, F, C, H, W), and pass at most `max_batch` pictures through the network at once.

    posterior: E draws from its posterior by this generator instead of taking the mean, as the released code does (None
    is the paper's deterministic E). copied: the network is copied at every call, as the released code does in float32.
    UserError: an unknown precision.
    """

    def __init__(
        self,
        vae: nn.Module,
        precision: Precision = "fp32",
        *,
        state: Precision = "fp32",
        posterior: torch.Generator | None = None,
        copied: bool = False,
        max_batch: int = 64,
    ) -> None:
        for name in (precision, state):
            if name not in get_args(Precision):
                raise UserError(f"precision: expected one of {', '.join(get_args(Precision))}; found '{name}'")
        self.dtype, self.state = DTYPES[precision], DTYPES[state]
        same = next(vae.parameters()).dtype == self.dtype
        self.vae: Any = vae if same else nn.Module.to(copy.deepcopy(vae), self.dtype)  # without diffusers' warning
        if not same and self.dtype == torch.float16:
            # most CPUs get PyTorch's slow fp16 convolution, which takes 11 times as long where one image comes as NCHW
            self.vae.to(memory_format=torch.channels_last)
        config: Any = self.vae.config
        self.scale = float(config.get("scaling_factor") or 1.0)
        self.shift = float(config.get("shift_factor") or 0.0)
        self.posterior, self.copied, self.max_batch = posterior, copied, max_batch
        self.encoded = self.decoded = 0  # pictures passed through E and D

    @property
    def exact(self) -> bool:
        """Whether E is deterministic and neither the network nor the state is in half precision."""
        return self.posterior is None and self.dtype.itemsize >= 4 and self.state.itemsize >= 4

    def encode(self, x: Tensor) -> Tensor:
        """z of images x in [-1, 1]: (B, 3, H, W) -> (B, c, h, w), of dtype `state`; frames alike."""
        self.encoded += _pictures(x)
        return self._batched(self._encode, x)

    def decode(self, z: Tensor) -> Tensor:
        """x of latents z: (B, c, h, w) -> (B, 3, H, W), of dtype `state`, not cut to [-1, 1]; frames alike."""
        self.decoded += _pictures(z)
        return self._batched(self._decode, z)

    def encode_decode(self, z: Tensor) -> Tensor:
        """E(D(z)), which never leaves the network's precision on its way. z: (B, c, h, w); frames alike."""
        self.encoded += _pictures(z)
        self.decoded += _pictures(z)
        return self._batched(lambda vae, part: self._encode(vae, self._decode(vae, part)), z)

    def _batched(self, function: Any, states: Tensor) -> Tensor:
        vae = copy.deepcopy(self.vae) if self.copied else self.vae
        flat = states.flatten(0, -4).to(self.dtype)
        parts = [function(vae, part) for part in flat.split(self.max_batch)]
        whole = (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.state)
        return whole.view(*states.shape[:-3], *whole.shape[1:])

    def _encode(self, vae: Any, x: Tensor) -> Tensor:
        encoded = vae.encode(x)
        if hasattr(encoded, "latents"):  # AutoencoderTiny has no posterior
            code = encoded.latents
        elif self.posterior is not None:
            code = encoded.latent_dist.sample(self.posterior)
        else:
            code = encoded.latent_dist.mode()
        return (code - self.shift) * self.scale

    def _decode(self, vae: Any, z: Tensor) -> Tensor:
        return vae.decode(z / self.scale + self.shift).sample


def _pictures(states: Tensor) -> int:
    return states.shape[:-3].numel()


def quantised(x: Tensor) -> Tensor:
    """Images x in [-1, 1] as 8-bit files hold them: cut and rounded to 256 levels, same shape and dtype."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def nmse(z: Tensor, z_true: Tensor) -> Tensor:
    """(B,) float64, squared error of z over the squared norm of z_true (B, ...), not in dB. Source: section 3.4."""
    error = (z.double() - z_true.double()).flatten(1).square().sum(1)
    return error / z_true.double().flatten(1).square().sum(1)


def decibel(ratio: Tensor) -> Tensor:
    """10 log10 of a ratio of powers, same shape."""
    return 10 * ratio.log10()
