"""Trials: one inverter at several images and rates at once, and the losses of the latents on its way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from deqbench.diffusion.gradients import loss
from deqbench.diffusion.inverted import Update, reconstruct
from deqbench.diffusion.inverters import invert
from deqbench.experiments.deq_ddim.shared import Inverter
from deqbench.experiments.deq_ddim.targets import Targets

DENSE = 12  # updates until which each one is recorded
Pair = tuple[float | None, int]  # a rate, None where there is none, and the place of an image


def dense(number: int, every: int) -> bool:
    """Whether an update's loss is evaluated again: each of the first ones, then one in `every`."""
    return number <= DENSE or number % every == 0


class Recorder:
    """The `on_update` that keeps x_T after the updates wanted, and the losses that the method sees itself."""

    def __init__(self, wanted: Callable[[int], bool]) -> None:
        self.wanted = wanted
        self.kept: dict[int, Tensor] = {}  # (M, *dims), by update
        self.own: list[Tensor] = []  # (M,) after each update, where the method has a loss
        self.walked = False  # whether that is the sequential chain's

    def __call__(self, step: Update) -> None:
        if self.wanted(step.number):
            self.kept[step.number] = step.x_T.clone()
        if step.loss is not None:
            self.own.append(step.loss.cpu())
            self.walked = step.walked


@dataclass
class Trial:
    """One image by one method at one rate."""

    x_T: Tensor  # (*dims), what the method returns
    diverged: bool
    nfe: float  # of the whole run, or of an update of a descent
    vjps: float
    own: list[float]  # the method's own loss after each update, where it has one
    returned: float = float("nan")  # loss of x_T by the sequential chain
    losses: dict[int, float] = field(default_factory=dict)  # the same after the updates recorded, the best among them
    kept: dict[int, Tensor] = field(default_factory=dict)  # x_T after them; of image 0 only

    @property
    def least(self) -> float:
        """The smallest loss seen; NaN where none was finite."""
        return min((value for value in (*self.losses.values(), self.returned) if value == value), default=float("nan"))

    def first_below(self, level: float, never: int) -> int:
        """Updates until the loss is first at most `level`, of those recorded."""
        return next((number for number in sorted(self.losses) if self.losses[number] <= level), never)

    def after(self, update: int) -> Tensor:
        """x_T after an update, of those kept the last until then: a run that ended stays where it was."""
        return self.kept[max(number for number in self.kept if number <= update)]


@torch.no_grad()
def trials(
    targets: Targets,
    inverter: Inverter,
    rates: list[float],
    epochs: int,
    wanted: Callable[[int], bool],
    shown: int,
    batch: int,
) -> dict[Pair, Trial]:
    """A trial of every image at every rate, at most `batch` of these pairs at a time.

    Of the first `shown` images every update wanted is evaluated by the sequential chain, of all what is returned. A
    descent whose own loss is that chain's is taken at its word on the updates, what it returns is evaluated again.
    AssertionError: the method counts other evaluations than the network saw.
    """
    chain, options = targets.start(inverter.start), dict(inverter.options)
    encoded = chain.steps if inverter.start == "encoding" else 0
    none: list[float | None] = [None]
    pairs: list[Pair] = list(product(rates or none, range(len(targets.images))))
    done: dict[Pair, Trial] = {}
    for part in (pairs[at : at + batch] for at in range(0, len(pairs), batch)):
        at = torch.tensor([image for _, image in part])
        if inverter.descends:
            options |= {"lr": torch.tensor([rate or 0.0 for rate, _ in part]), "epochs": epochs}
        recorder, before = Recorder(wanted), targets.eps.evaluations
        left = invert(inverter.inverter, chain.select(at), targets.images[at], options, recorder)
        if (seen := targets.eps.evaluations - before) != int(left.nfe.sum()):
            raise AssertionError(f"{inverter.inverter}: NFE {int(left.nfe.sum())}, counted {seen}")
        # A descent takes a gradient at its start and after each update: its counts are told by gradient.
        gradients = len(recorder.own) if inverter.descends else 1
        extra = 0 if inverter.descends else encoded
        made = [
            Trial(
                left.x_T[k].cpu(),
                left.stopped[k] == "diverged",
                (int(left.nfe[k]) + extra) / gradients,
                int(left.vjps[k]) / gradients,
                [float(told[k]) for told in recorder.own],
            )
            for k in range(len(part))
        ]
        done |= dict(zip(part, made, strict=True))
        _evaluate_all(targets, part, made, recorder, shown, batch)
    return done


def _evaluate_all(
    targets: Targets, part: list[Pair], made: list[Trial], recorder: Recorder, shown: int, batch: int
) -> None:
    """Adds the losses, and x_T of image 0 after the updates kept."""
    plan: list[tuple[Trial, int, int | None, Tensor]] = []
    for k, ((_, image), trial) in enumerate(zip(part, made, strict=True)):
        plan.append((trial, image, None, trial.x_T))
        steps = {number: x_T[k].cpu() for number, x_T in recorder.kept.items()} if image < shown else {}
        if trial.own:  # which update was the best is known afterwards only, and it is what is returned
            own = torch.tensor(trial.own, dtype=torch.float64)
            steps[int(own.nan_to_num(float("inf"), float("inf")).argmin())] = trial.x_T
        trial.kept = steps if image == 0 else {}
        if image < shown and recorder.walked:
            trial.losses = {number: trial.own[number] for number in sorted(steps)}
        elif image < shown:
            plan += [(trial, image, number, x_T) for number, x_T in sorted(steps.items())]
    losses = evaluate_once(targets, [image for _, image, *_ in plan], [x_T for *_, x_T in plan], batch)
    for (trial, _, number, _), value in zip(plan, losses, strict=True):
        if number is None:
            trial.returned = value
        else:
            trial.losses[number] = value


def evaluate_once(targets: Targets, images: list[int], latents: list[Tensor], batch: int) -> list[float]:
    """The losses of `evaluate`, equal latents of an image evaluated once: those of a run that stands still."""
    keys = [(image, x_T.cpu().numpy().tobytes()) for image, x_T in zip(images, latents, strict=True)]
    places = {key: at for at, key in enumerate(keys)}  # of each one's last occurrence
    at = list(places.values())
    _, losses = evaluate(targets, [images[k] for k in at], [latents[k] for k in at], batch)
    known = dict(zip(places, losses, strict=True))
    return [known[key] for key in keys]


@torch.no_grad()
def evaluate(targets: Targets, images: list[int], latents: list[Tensor], batch: int) -> tuple[Tensor, list[float]]:
    """x_0 (M, *dims) and losses of M latents by the sequential chain of the image named for each."""
    x0, losses = [], []
    for at in range(0, len(latents), batch):
        places = torch.tensor(images[at : at + batch])
        start = torch.stack(latents[at : at + batch]).to(targets.images)
        x0.append(reconstruct(targets.chain.select(places), start))
        losses += loss(x0[-1], targets.images[places]).tolist()
    return torch.cat(x0).cpu(), losses


def best_rate(tried: dict[Pair, Trial]) -> float | None:
    """The rate of the smallest mean loss; one that is not finite, or of a diverged run, is infinite."""
    total: dict[float | None, float] = {}
    for (rate, _), one in tried.items():
        reached = float("inf") if one.diverged or one.least != one.least else one.least
        total[rate] = total.get(rate, 0.0) + reached
    return min(total, key=lambda rate: total[rate])
