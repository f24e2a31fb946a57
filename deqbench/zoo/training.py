"""Training of the zoo's networks. Draws come from a generator of (seed, step), so a resumed run is the same run."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.data.datasets import Dataset, dihedral
from deqbench.records import write_tensors

OnStep = Callable[[int, float], None]
KEEP_EVERY = 250


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one training step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


class Averaged:
    """The exponential moving average of a network's parameters, its decay warmed up as (1 + step) / (10 + step)."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in net.named_parameters()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, p in net.named_parameters():
            self.weights[name].lerp_(p, 1 - keep)


def diffusion_loss(net: nn.Module, x0: Tensor, alpha_bar: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the predicted noise, timesteps drawn uniformly. x0: (B, C, H, W). Source: DDPM, eq. 14."""
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    a = alpha_bar[t].view(-1, 1, 1, 1)
    return nn.functional.mse_loss(net(a.sqrt() * x0 + (1 - a).sqrt() * eps, t).sample.float(), eps)


def train_diffusion(
    net: nn.Module,
    dataset: Dataset,
    alpha_bar: Tensor,
    *,
    steps: int,
    batch: int,
    lr: float,
    ema_decay: float,
    seed: int,
    bf16: bool,
    state: Path | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Tensor]:
    """The averaged weights after `steps` of Adam with a cosine schedule (5 % warm-up).

    state: where progress is kept every KEEP_EVERY steps; a run that finds that of its own settings goes on from there.
    """
    from diffusers.optimization import get_cosine_schedule_with_warmup

    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    average = Averaged(net, ema_decay)
    shapes = [(name, tuple(p.shape)) for name, p in net.named_parameters()]
    settings = repr((steps, batch, lr, ema_decay, seed, bf16, tuple(dataset.train.shape), shapes))
    first = _resume(state, settings, net, average, optimizer) if state and state.exists() else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch expects the optimizer to step in between
        for _ in range(first):
            schedule.step()
    net.train()
    for step in range(first, steps):
        generator = step_generator(seed, step)
        images = dataset.train[torch.randint(len(dataset.train), (batch,), generator=generator)]
        if dataset.symmetric:
            images = dihedral(images, torch.randint(8, (batch,), generator=generator))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = diffusion_loss(net, images, alpha_bar, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update(net, step)
        if on_step:
            on_step(step + 1, float(loss.detach()))
        if state and (step + 1) % KEEP_EVERY == 0:
            _keep(state, settings, step + 1, net, average, optimizer)
    return average.weights


def _keep(
    state: Path, settings: str, step: int, net: nn.Module, average: Averaged, optimizer: torch.optim.Adam
) -> None:
    tensors = {"step": torch.tensor(step)}
    for name, p in net.named_parameters():
        slot = optimizer.state[p]
        tensors |= {f"net.{name}": p, f"ema.{name}": average.weights[name]}
        tensors |= {f"exp_avg.{name}": slot["exp_avg"], f"exp_avg_sq.{name}": slot["exp_avg_sq"]}
    write_tensors(state, {name: tensor.detach() for name, tensor in tensors.items()}, metadata={"settings": settings})


@torch.no_grad()
def _resume(state: Path, settings: str, net: nn.Module, average: Averaged, optimizer: torch.optim.Adam) -> int:
    """The step to go on from: 0 where the state is another run's."""
    with safe_open(state, framework="pt") as file:
        if (file.metadata() or {}).get("settings") != settings:
            return 0
    tensors = load_file(state)
    for name, p in net.named_parameters():
        p.copy_(tensors[f"net.{name}"])
        average.weights[name].copy_(tensors[f"ema.{name}"])
        moments = {key: tensors[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[p] = {"step": tensors["step"].float(), **moments}
    return int(tensors["step"])
