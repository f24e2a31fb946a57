"""The state of a training from step to step, and its storage: one safetensors file, replaced as a whole, no pickle."""

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from deqbench.records import write_tensors
from deqbench.training.settings import Optimisation

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class Progress:
    """Network, optimiser, averaged weights, history and best snapshot of a training after `step` updates."""

    def __init__(self, net: nn.Module, settings: Optimisation) -> None:
        self.net, self.settings = net, settings
        make = OPTIMIZERS[settings.optimizer]
        self.optimizer = make(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        self.schedule = _schedule(self.optimizer, settings)
        averaged = settings.ema_decay is not None
        self.average = {name: p.detach().clone() for name, p in self.parameters() if averaged}
        self.best: dict[str, Tensor] = {}
        self.step, self.best_step, self.best_value, self.waited = 0, 0, math.inf, 0
        self.history: list[tuple[int, str, str, float]] = []  # step, split, metric, value

    def parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The network's parameters, tied ones under each of their names."""
        return self.net.named_parameters(remove_duplicate=False)

    @torch.no_grad()
    def updated(self) -> None:
        """Counts an update, and moves schedule and averaged weights, whose decay warms up as (1 + k) / (10 + k)."""
        self.schedule.step()
        if self.settings.ema_decay is not None:
            keep = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
            for name, p in self.parameters():
                self.average[name].lerp_(p, 1 - keep)
        self.step += 1

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights, averaged where they are, with the network's buffers."""
        whole = {**self.net.state_dict(), **self.average}
        return {name: tensor.detach().clone() for name, tensor in whole.items()}

    @contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """The network in evaluation mode with the weights that would be the result; as before afterwards."""
        before = {name: p.detach().clone() for name, p in self.parameters() if self.average}
        self.net.load_state_dict(self.average, strict=False)
        self.net.eval()
        try:
            yield self.net
        finally:
            self.net.load_state_dict(before, strict=False)
            self.net.train()

    def store(self, path: Path, run: str) -> None:
        """Writes all of it, with the states of torch's own generators. run: digest of what makes it this training."""
        device = next(self.net.parameters()).device
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in slots.items()}
        tensors["generator.cpu"] = torch.get_rng_state()
        if device.type == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state(device)
        numbers = {name: getattr(self, name) for name in ("step", "best_step", "best_value", "waited", "history")}
        apart = {name: tensor.detach().clone() for name, tensor in tensors.items()}  # safetensors refuses tied weights
        write_tensors(path, apart, metadata={"run": run, "progress": json.dumps(numbers)})

    def restore(self, path: Path, run: str) -> bool:
        """Takes up what `store` wrote of the same run; False, and nothing is changed, where there is none."""
        try:
            with safe_open(path, framework="pt") as file:
                known = file.metadata() or {}
            if known.get("run") != run:
                return False
            tensors = load_file(path)
        except (OSError, SafetensorError):  # none, or not one of ours
            return False
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        self.net.load_state_dict(parts["net"])
        self.average = {name: parts["average"][name].to(p.device) for name, p in self.average.items()}
        self.best = parts.get("best", {})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts.get("optimizer", {}).items():
            number, _, slot = name.partition(".")
            state.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        for name, value in json.loads(known["progress"]).items():
            setattr(self, name, value)
        self.history = [(step, split, metric, value) for step, split, metric, value in self.history]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch expects the optimizer to step in between
            for _ in range(self.step):
                self.schedule.step()
        torch.set_rng_state(parts["generator"]["cpu"])
        if "cuda" in parts["generator"]:
            torch.cuda.set_rng_state(parts["generator"]["cuda"], next(self.net.parameters()).device)
        return True


def _schedule(optimizer: torch.optim.Optimizer, settings: Optimisation) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=settings.steps)
    if settings.schedule == "cosine":
        from diffusers.optimization import get_cosine_schedule_with_warmup

        return get_cosine_schedule_with_warmup(optimizer, settings.steps // 20, settings.steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def run_digest(net: nn.Module, splits: Mapping[str, Any], settings: Optimisation, about: Any) -> str:
    """Digest of the settings, of `about` (JSON), of the shapes of the weights and of every number of the splits."""
    shapes = [(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in net.state_dict().items()]
    digest = hashlib.sha256(settings.model_dump_json(exclude={"keep_every"}).encode())
    digest.update(json.dumps([about, shapes, sorted(splits)], default=str).encode())
    for split in sorted(splits):
        for tensor in splits[split] if isinstance(splits[split], tuple) else ():
            digest.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
