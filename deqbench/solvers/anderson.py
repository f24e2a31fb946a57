"""Anderson acceleration, types I and II, with weights per sample, per timestep, or per timestep from all before it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from deqbench.bounds import Count, NonNegative, Share
from deqbench.registry import hold
from deqbench.solvers.norms import LONGEST_BLOCK, block_length


@dataclass(frozen=True, kw_only=True)
class Anderson:
    """Mix the last m evaluations with weights of sum 1, so chosen that the same mix of their residuals is small.

    With residuals g_i = f(x_i) - x_i and differences of consecutive rounds, dF and dG (so dX = dF - dG), the next state
    is f_k - dF gamma - (1 - beta) (g_k - dG gamma). Type II takes gamma = argmin ||g_k - dG gamma||; type I solves
    dX^T dG gamma = dX^T g_k. A result that diverges calls for a smaller m or beta, or a larger ridge.

    m: evaluations mixed; 1 is Picard's iteration. beta in (0, 1]: damping; damp_first=False leaves out the first step.
    ridge_kind "relative": each squared length on the diagonal of dG^T dG grows by this share, so that old, long
    differences do not drown the recent short ones (type I: the same on the normal equations of its system, scaled to
    unit rows and columns). Shares below the rounding of the dot products are raised to it, so that no system is
    singular. "absolute", type II only: ridge * ||weights||^2 joins the minimum, lengths of the state's own units.
    mixing "chain": one set of weights a sample. "timestep": one for each index of dim 1 of a state (B, N, *dims), from
    the residuals of that index. "triangular": one for each index, from the residuals of all indices up to it, as fits
    systems whose states depend on earlier ones only; the last index has the weights of "chain".

    Source: DEQ-DDIM, eq. 12, mixes the chain as one vector; its code mixes each timestep by itself (RELEASED). Tang et
    al., "Accelerating parallel sampling of diffusion models" (2024), mix triangularly. Fang and Saad, "Two classes of
    multisecant methods for nonlinear acceleration" (2009), define both types. ValueError: a setting out of range.
    """

    kind: Literal["I", "II"] = "II"
    m: Count = 5
    beta: Share = 1.0
    ridge: NonNegative = 1e-10
    ridge_kind: Literal["relative", "absolute"] = "relative"
    mixing: Literal["chain", "timestep", "triangular"] = "chain"
    damp_first: bool = True

    def __post_init__(self) -> None:
        hold(self)
        if self.kind == "I" and self.ridge_kind == "absolute":
            raise ValueError("ridge_kind: type I has no absolute ridge; use relative")

    def start(self, z0: Tensor) -> "Window":
        """An empty window. ValueError: mixing per timestep of a state without dim 1."""
        if self.mixing != "chain" and z0.dim() < 2:
            raise ValueError(f"mixing: {self.mixing} needs a state (B, N, *dims), found shape {tuple(z0.shape)}")
        return Window(self, z0)


SOLVER = Anderson
# Uses the sum-to-one system of GG^T + 1e-3 I of the released DEQ-DDIM code (which returns FixedPoint.state, not z).
RELEASED = Anderson(m=5, ridge=1e-3, ridge_kind="absolute", mixing="timestep", damp_first=False)


class Window:
    """The last m rounds of B samples: R = B (or B * N) rows with weights of their own, each of C blocks of c values.

    Slot 0 of a ring holds the latest evaluation or residual, the others the differences, filled round robin; their dot
    products are kept. So a round adds one row of them, reads each vector once for it and once more for the mix.
    """

    def __init__(self, settings: Anderson, z0: Tensor) -> None:
        self.settings, self.seen = settings, 0
        self.rows = 1 if settings.mixing == "chain" else z0.shape[1]  # of a sample
        width = z0[:1].numel() // max(self.rows, 1)
        self.c = block_length(width)
        self.C = width // max(self.c, 1)
        self.rounding = torch.finfo(z0.dtype)
        self.F = z0.new_empty(settings.m, len(z0) * self.rows * self.C, self.c)
        self.G = torch.empty_like(self.F)
        self.dots = z0.new_zeros(len(z0) * self.rows, settings.m, settings.m, dtype=torch.float64)  # row, column 0 idle
        self.weights = z0.new_ones(len(z0) * self.rows, self.C, settings.m)  # of slot 0 always 1
        self.parts: dict[tuple[int, int], Parts] = {}

    def select(self, keep: Tensor) -> None:
        """Forget all samples but keep, (B',) int64."""
        self.F, self.G = (v.unflatten(1, (-1, self.rows * self.C))[:, keep].flatten(1, 2) for v in (self.F, self.G))
        self.dots = self.dots.unflatten(0, (-1, self.rows))[keep].flatten(0, 1)
        self.weights = self.weights[: len(self.dots)]
        self.parts = {}

    def step(self, state: Tensor, fz: Tensor, residual: Tensor) -> Tensor:
        """The next state, (B, *dims)."""
        n, newest = min(self.seen, self.settings.m - 1), 1 + (self.seen - 1) % max(self.settings.m - 1, 1)
        part = self.parts.get((n, newest)) or self.parts.setdefault((n, newest), Parts(self, n, newest))
        for (latest, difference), new in zip(part.slots, (fz, residual), strict=True):
            new = new.reshape(latest.shape)
            if n:
                torch.sub(new, latest, out=difference)
            latest.copy_(new)
        self.seen += 1
        beta = self.settings.beta if self.seen > 1 or self.settings.damp_first else 1.0
        if n == 0:
            return fz.clone() if beta == 1 else torch.add(state, residual, alpha=beta)
        gamma = self._gamma(n, newest, part).neg_()
        gamma.nan_to_num_(0.0, 0.0, 0.0)  # where dot products leave the dtype's range the step is a plain one
        part.weights.copy_(gamma[:, None])
        mixed = torch.bmm(part.mix, part.F)
        if beta < 1:
            mixed.add_(torch.bmm(part.mix, part.G), alpha=beta - 1)
        return mixed.view(fz.shape)

    def _gamma(self, n: int, newest: int, part: "Parts") -> Tensor:
        """The weights of the n differences, (R, n) float64, after the newest one's dot products joined the others."""
        right, column = self._dot(part.pair, part.dG).unbind(1)
        row = column
        if self.settings.kind == "I":  # with dX = dF - dG in the place of dG on the left
            row = self._dot(self.F[newest : newest + 1].transpose(0, 1), part.dG)[:, 0] - column
            right, column = (self._dot(part.pair, part.dF) - torch.stack((right, column), 1)).unbind(1)
        part.row.copy_(row)
        part.column.copy_(column)
        if self.settings.kind == "I":
            return solve_secant(part.dots, right, max(self.settings.ridge, n * self.rounding.eps))
        share, added, moved = part.ridge
        gram = torch.addcmul(added, part.dots, share)
        return torch.linalg.solve_ex(gram, right if moved is None else right + moved)[0]

    def _dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Dot products of (R C, a, c) and (R C, c, b): (R, a, b) float64; of all rows up to each if triangular."""
        dots = block_dots(left, right, self.C)
        return cumulated(dots, self.rows) if self.settings.mixing == "triangular" else dots


class Parts:
    """The parts of a window that a round with n differences touches: views made once, for their cost adds up."""

    def __init__(self, window: Window, n: int, newest: int) -> None:
        last = newest if n else 0
        self.slots = tuple((ring[0], ring[last]) for ring in (window.F, window.G))
        if n == 0:
            return
        self.F, self.G = (ring[: n + 1].transpose(0, 1) for ring in (window.F, window.G))  # (R C, 1 + n, c)
        self.dF, self.dG = (ring[:, 1:].transpose(1, 2) for ring in (self.F, self.G))  # (R C, c, n)
        self.pair = window.G[: newest + 1 : newest].transpose(0, 1)  # (R C, 2, c), g and its dg
        self.mix = window.weights[..., : n + 1].flatten(0, 1)[:, None]  # (R C, 1, 1 + n)
        self.weights = window.weights[..., 1 : n + 1]  # (R, C, n)
        self.dots = window.dots[:, 1 : n + 1, 1 : n + 1]
        self.row, self.column = self.dots[:, newest - 1], self.dots[:, :, newest - 1]
        self.ridge = ridge_terms(n, newest - 1, window.settings, window.F.dtype, window.F.device)


def block_dots(left: Tensor, right: Tensor, blocks: int) -> Tensor:
    """Dot products of (R C, a, c) and (R C, c, b), C blocks of c values a vector: (R, a, b) float64.

    Products are summed in the vectors' dtype within blocks of up to LONGEST_BLOCK values and in float64 across them.
    """
    if left.shape[2] > LONGEST_BLOCK:
        left, right = left.double(), right.double()
    dots = torch.bmm(left, right)  # (R C, a, b)
    return dots.view(len(dots) // blocks, blocks, *dots.shape[1:]).sum(1, dtype=torch.float64)


def cumulated(dots: Tensor, rows: int) -> Tensor:
    """Dot products (B N, a, b) of N rows a sample, summed over all rows up to each: the same shape."""
    return dots.unflatten(0, (-1, rows)).cumsum(1).flatten(0, 1)


def solve_secant(matrix: Tensor, right: Tensor, ridge: float) -> Tensor:
    """The ridge solution of a matrix (R, n, n) of any sign, scaled to unit rows and columns; empty ones get 0."""
    rows = matrix.norm(dim=2, keepdim=True)
    rows = rows.masked_fill(rows == 0, 1)
    columns = (matrix / rows).norm(dim=1, keepdim=True)
    columns = columns.masked_fill(columns == 0, 1)
    scaled = matrix / rows / columns
    normal = scaled.mT @ scaled + ridge * torch.eye(matrix.shape[1]).to(matrix)
    return torch.linalg.solve_ex(normal, scaled.mT @ (right[:, :, None] / rows))[0][:, :, 0] / columns[:, 0]


def ridge_terms(
    n: int, newest: int, settings: Anderson, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(share, added, moved), so that type II solves (gram * share + added) gamma = right + moved: (n, n) twice, (n,).

    The absolute ridge on ||weights||^2: the oldest state weighs gamma_1, the next gamma_2 - gamma_1, ..., the latest
    1 - gamma_n. So added is tridiag(-1, 2, -1) in order of age, and moved is 1 at the newest of the n slots.
    """
    rounding, eye = torch.finfo(dtype), torch.eye(n, dtype=torch.float64)
    relative = settings.ridge if settings.ridge_kind == "relative" else 0.0
    share = 1 + eye * max(relative, n * rounding.eps)
    added = eye * rounding.tiny  # a difference of length 0 gets the weight 0
    if settings.ridge_kind == "relative":
        return share.to(device), added.to(device), None
    younger = eye.roll(1, dims=1)  # slot i and the one filled after it
    younger[newest] = 0
    added = added + settings.ridge * (2 * eye - younger - younger.T)
    return share.to(device), added.to(device), settings.ridge * eye[newest].to(device)
