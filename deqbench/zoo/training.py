"""Training of the zoo's networks. Draws come from a generator of (seed, step), so a resumed run is the same run."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def diffusion_loss(
    net: nn.Module, x0: Tensor, alpha_bar: Tensor, generator: torch.Generator, labels: Tensor | None = None
) -> Tensor:
    """Mean squared error of the predicted noise, timesteps drawn uniformly. Source: DDPM, eq. 14.

    x0: (B, C, H, W); labels: (B,) int64, for a network that wants them.
    """
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    a = alpha_bar[t].view(-1, 1, 1, 1)
    return nn.functional.mse_loss(net(a.sqrt() * x0 + (1 - a).sqrt() * eps, t, labels).sample.float(), eps)


def train_diffusion(
    net: nn.Module,
    dataset: Dataset,
    alpha_bar: Tensor,
    *,
    batch: int,
    bf16: bool,
    state: Path | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """The averaged weights of a noise-prediction network. Further arguments as for `train`."""

    def loss(generator: torch.Generator) -> Tensor:
        return diffusion_loss(net, draw(dataset, batch, generator)[0], alpha_bar, generator)

    about = (batch, tuple(dataset.train.shape))
    return train(net, loss, about=about, bf16=bf16, state=state, on_step=on_step, **options)


def draw(dataset: Dataset, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training images (batch, C, H, W), turned and mirrored if those are as likely, and their numbers (batch,)."""
    chosen = torch.randint(len(dataset.train), (batch,), generator=generator)
    images = dataset.train[chosen]
    if dataset.symmetric:
        images = dihedral(images, torch.randint(8, (batch,), generator=generator))
    return images, chosen


def train(
    net: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    *,
    about: tuple[object, ...],
    steps: int,
    lr: float,
    ema_decay: float,
    seed: int,
    bf16: bool,
    state: Path | None = None,
    on_step: OnStep | None = None,
) -> dict[str, Tensor]:
    """The averaged weights after `steps` of Adam with a cosine schedule (5 % warm-up).

    loss: of the step whose generator it is given, computed under autocast to bfloat16 where `bf16`. state: where
    progress is kept every KEEP_EVERY steps; a run that finds that of its own settings, of which `about` are those that
    only the loss knows, goes on from there.
    """
    from diffusers.optimization import get_cosine_schedule_with_warmup

    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    average = Averaged(net, ema_decay)
    shapes = [(name, tuple(p.shape)) for name, p in net.named_parameters()]
    settings = repr((steps, lr, ema_decay, seed, bf16, about, shapes))
    first = _resume(state, settings, net, average, optimizer) if state and state.exists() else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch expects the optimizer to step in between
        for _ in range(first):
            schedule.step()
    net.train()
    for step in range(first, steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = loss(step_generator(seed, step))
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update(net, step)
        if on_step:
            on_step(step + 1, float(found.detach()))
        if state and (step + 1) % KEEP_EVERY == 0:
            _keep(state, settings, step + 1, net, average, optimizer)
    return average.weights


@torch.inference_mode()
def heldout_loss(net: nn.Module, dataset: Dataset, alpha_bar: Tensor) -> float:
    """Mean squared error of the predicted noise on 2,048 draws of tuning images."""
    net.eval()
    generator = step_generator(12345, 0)
    batches = torch.randint(len(dataset.tuning), (8, 256), generator=generator)
    losses = [diffusion_loss(net, dataset.tuning[chosen], alpha_bar, generator) for chosen in batches]
    return float(torch.stack(losses).mean())


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
