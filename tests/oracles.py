"""Networks and chains written independently of the package, in float64 where asked."""

import torch
from diffusers import DDIMScheduler
from torch import Tensor


class ToyEps(torch.nn.Module):
    """A smooth noise prediction that depends on x and t, so that a wrong state or timestep shows."""

    def __init__(self, channels: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("kernel", (0.3 * torch.randn(channels, channels, 3, 3, generator=generator)).to(dtype))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        level = (t.to(x.dtype) / 1000).view(-1, 1, 1, 1)
        return (
            torch.tanh(torch.nn.functional.conv2d(x, self.kernel, padding=1) + 0.5 * level) * (0.2 + level)
            + 0.5 * x * level
        )


def scheduler(double: bool = True, **options: object) -> DDIMScheduler:
    """Diffusers' DDIM scheduler, clip_sample off, its tables raised to float64."""
    made = DDIMScheduler(clip_sample=False, timestep_spacing="leading", **options)
    if double:
        made.alphas_cumprod = made.alphas_cumprod.double()
        made.final_alpha_cumprod = made.final_alpha_cumprod.double()
    return made


def diffusers_walk(
    eps: torch.nn.Module, x: Tensor, steps: int, eta: float, noise: Tensor | None, made: DDIMScheduler
) -> Tensor:
    """All states (B, N, C, H, W) of the chain as diffusers' scheduler walks it."""
    made.set_timesteps(steps)
    states = []
    for j, t in enumerate(made.timesteps):
        extra = {"variance_noise": noise[:, j]} if noise is not None else {}
        x = made.step(eps(x, t.expand(len(x))), t, x, eta=eta, **extra).prev_sample
        states.append(x)
    return torch.stack(states, 1)


def textbook_walk(eps: torch.nn.Module, x: Tensor, timesteps: list[int], alpha_bar: Tensor, final: float) -> Tensor:
    """All states of a deterministic chain on any grid, by DDIM's equation 12, in the dtype of x."""
    states = []
    for j, t in enumerate(timesteps):
        here = alpha_bar[t]
        after = alpha_bar[timesteps[j + 1]] if j + 1 < len(timesteps) else torch.tensor(final, dtype=alpha_bar.dtype)
        e = eps(x, torch.full((len(x),), t))
        x0 = (x - (1 - here).sqrt() * e) / here.sqrt()
        x = after.sqrt() * x0 + (1 - after).sqrt() * e
        states.append(x)
    return torch.stack(states, 1)
