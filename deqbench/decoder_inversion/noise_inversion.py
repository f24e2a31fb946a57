"""From z_0 back to x_T: naive DDIM inversion, and backward Euler by damped repetition; the same for one step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion.latent_models import LatentModel
from deqbench.diffusion.inverters.backward_euler import Before
from deqbench.solvers import solve


@dataclass(frozen=True)
class Recovered:
    """B chains, walked back."""

    states: list[Tensor]  # x_T first and z_0 last, each (B, c, h, w)
    residual: Tensor  # (B,) float64, the largest relative residual of any step's equation where its solve ended

    @property
    def x_T(self) -> Tensor:
        """(B, c, h, w)."""
        return self.states[0]


@torch.no_grad()
def recovered(
    model: LatentModel,
    z_0: Tensor,
    labels: Tensor,
    *,
    iterations: int = 1,
    damping: float = 1.0,
    guided: bool = True,
    tol: float = 1e-6,
) -> Recovered:
    """The states that lead to z_0 (B, c, h, w), classes (B,), each step solved by x <- x + damping (f(x) - x).

    f(x) = (x' - scale eps(x, t)) / ratio is where a DDIM step that ends in x' sets out; one iteration is naive DDIM
    inversion. guided False takes eps without condition, as a detector that knows no prompt must. A one-step generator
    G has f(x) = z_0 + x - G(x). Iterations end early below the relative residual `tol`.
    Source: Hong et al., "On exact inversion of DPM-solvers" (2024), algorithm 1; tree-ring's released code.
    """
    options: dict[str, Any] = {"damping": damping, "max_iter": iterations, "tol": tol}
    if model.form == "one-step":
        x_T, residual = _solved(_Generated(model, z_0, labels), z_0, **options)
        return Recovered([x_T, z_0], residual)
    chain = model.chain(z_0, labels, None if guided else 0.0)
    states, worst = [z_0], torch.zeros(len(z_0), dtype=torch.float64)
    for j in reversed(range(chain.steps)):
        x, residual = _solved(Before(chain, states[0], j), states[0], **options)
        states.insert(0, x)
        worst = torch.maximum(worst, residual.nan_to_num(nan=torch.inf))
    return Recovered(states, worst)


@dataclass(frozen=True)
class _Generated:
    model: LatentModel
    z_0: Tensor
    labels: Tensor

    def select(self, indices: Tensor) -> "_Generated":
        return _Generated(self.model, self.z_0[indices], self.labels[indices])

    def __call__(self, x: Tensor) -> Tensor:
        return self.z_0 + x - self.model.generate(x, self.labels)


def _solved(
    f: Callable[[Tensor], Tensor], start: Tensor, *, damping: float, max_iter: int, tol: float
) -> tuple[Tensor, Tensor]:
    solution = solve(f, start, solver="picard", damping=damping, max_iter=max_iter, tol=tol)
    # A damped run ends where it would go next, its last evaluation is f itself.
    z = solution.z if damping == 1 else torch.lerp(solution.state, solution.z, damping)
    return z, torch.stack([trace[-1] for trace in solution.relative])
