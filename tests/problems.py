"""Fixed-point problems with known answers, for every solver: small, batched, and some of them nasty."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """A batch of independent maps, its start and its fixed points (all float64; `of` lowers them)."""

    name: str
    f: Callable[[Tensor, Tensor], Tensor]  # (z (b, *dims), which samples (b,)) -> (b, *dims)
    z0: Tensor  # (B, *dims)
    answer: Tensor  # (B, *dims), nan where there is none
    needs_mixing: bool = False  # plain repetition does not converge
    rounds: int = 400  # enough for any solver to reach the square root of the dtype's precision

    @property
    def solvable(self) -> Tensor:
        """(B,) bool."""
        return self.answer.flatten(1).isfinite().all(1)

    def of(self, dtype: torch.dtype, select: bool = True) -> "Counted":
        """The map in that dtype, counting calls; with or without a select of its own."""
        return (Selectable if select else Counted)(self, dtype)


class Counted:
    """A problem's map, with its calls and the samples that passed through."""

    def __init__(self, problem: Problem, dtype: torch.dtype) -> None:
        self.problem, self.dtype = problem, dtype
        self.calls: list[int] = []

    def __call__(self, z: Tensor) -> Tensor:
        return self.evaluate(z, torch.arange(len(self.problem.z0)))

    def evaluate(self, z: Tensor, samples: Tensor) -> Tensor:
        assert z.dtype == self.dtype and len(z) == len(samples)
        self.calls.append(len(z))
        return self.problem.f(z.double(), samples).to(self.dtype)


class Selectable(Counted):
    """With the restriction to some samples of the batch."""

    def select(self, indices: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda z: self.evaluate(z, indices)


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrices(samples: int, n: int, norm: float, seed: int) -> Tensor:
    """(samples, n, n) random matrices of that spectral norm."""
    made = random(samples, n, n, seed=seed)
    return made * (norm / torch.linalg.matrix_norm(made, 2))[:, None, None]


def linear(name: str, A: Tensor, b: Tensor, dims: tuple[int, ...], **more: bool) -> Problem:
    """z = A z + b for each sample, (B, n, n) and (B, n), states (B, *dims); solved densely."""

    def f(z: Tensor, samples: Tensor) -> Tensor:
        return (torch.einsum("bij,bj->bi", A[samples], z.flatten(1)) + b[samples]).view_as(z)

    answer = torch.linalg.solve(torch.eye(A.shape[1]) - A, b)
    return Problem(name, f, torch.zeros(len(A), *dims).double(), answer.view(len(A), *dims), **more)


def tanh_layers() -> Problem:
    """z = tanh(W z + b); the answer by Newton's method."""
    W, b = matrices(3, 24, 0.95, seed=5), random(3, 24, seed=6)
    z = torch.zeros(3, 24).double()
    for _ in range(50):
        t = torch.tanh(torch.einsum("bij,bj->bi", W, z) + b)
        z = z - torch.linalg.solve(torch.eye(24) - (1 - t**2)[:, :, None] * W, z - t)

    def f(z: Tensor, samples: Tensor) -> Tensor:
        inner = torch.einsum("bij,bj->bi", W[samples], z.flatten(1)) + b[samples]
        return torch.tanh(inner).view_as(z)

    return Problem("tanh layers", f, random(3, 4, 6, seed=7), z.view(3, 4, 6))


def chain() -> Problem:
    """8 states, each a nonlinear function of the one before: strictly triangular, so 8 rounds of Picard are exact."""
    W, start = matrices(2, 5, 1.5, seed=8), random(2, 5, seed=9)

    def advance(x: Tensor, samples: Tensor) -> Tensor:  # (b, N, 5) -> (b, N, 5)
        return x + 0.5 * torch.sin(torch.einsum("bij,bnj->bni", W[samples], x))

    def f(z: Tensor, samples: Tensor) -> Tensor:
        return advance(torch.cat([start[samples, None], z[:, :-1]], 1), samples)

    states = [start[:, None]]
    for _ in range(8):
        states.append(advance(states[-1], torch.arange(2)))
    return Problem("chain", f, start[:, None].repeat(1, 8, 1), torch.cat(states[1:], 1))


def rotation() -> Problem:
    """A turn by 90 degrees about a point in each of two planes: repetition circles for ever."""
    turn = torch.block_diag(*[torch.tensor([[0.0, -1.0], [1.0, 0.0]])] * 2).double()
    return linear("rotation", turn.expand(2, 4, 4), random(2, 4, seed=10), (4,), needs_mixing=True)


def one_diverges() -> Problem:
    """Three maps, the middle one z -> sqrt(z)**6 + 10 without hope: where it is defined it has no fixed point."""
    A = torch.tensor([0.5, 0.0, -0.3]).double()

    def f(z: Tensor, samples: Tensor) -> Tensor:
        cubed = z.sqrt() ** 6 + 10  # nan below 0, where z**3 + 10 has one
        return torch.where((samples == 1)[:, None], cubed, A[samples, None] * z + 1)

    answer = (1 / (1 - A))[:, None].repeat(1, 6)
    answer[1] = torch.nan
    return Problem("one diverges", f, torch.full((3, 6), 2.0).double(), answer)


def nan_at_once() -> Problem:
    """The first sample is nan from the first evaluation."""

    def f(z: Tensor, samples: Tensor) -> Tensor:
        return torch.where((samples == 0)[:, None, None], torch.nan, 0.5 * torch.cos(z))

    x = 0.45
    for _ in range(60):
        x = math.cos(x) / 2
    answer = torch.full((2, 3, 2), x, dtype=torch.float64)
    answer[0] = torch.nan
    return Problem("nan at once", f, torch.zeros(2, 3, 2).double(), answer)


def problems() -> list[Problem]:
    """All of them, fresh."""
    sizes = torch.tensor([1e-25, 1.0, 1e25]).double()  # squares leave float32's range
    scaled_A, scaled_b = matrices(3, 6, 0.4, seed=3), random(3, 6, seed=4) * sizes[:, None]
    stiff = torch.diag_embed(torch.linspace(-0.9, 0.9, 10).double().expand(2, 10))
    spread = torch.logspace(-3, 3, 10).double()  # components of very different size
    return [
        linear("linear", matrices(4, 12, 0.8, seed=1), random(4, 12, seed=2), (3, 2, 2)),
        linear("one number", torch.full((1, 1, 1), 0.5).double(), torch.ones(1, 1).double(), (1,)),
        linear("scaled badly", scaled_A, scaled_b, (6,)),
        linear("unequal components", stiff, random(2, 10, seed=12) * spread, (5, 2)),
        tanh_layers(),
        chain(),
        rotation(),
        one_diverges(),
        nan_at_once(),
    ]
