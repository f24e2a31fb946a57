"""Linear fixed points v = b + A v of a batch, for which only products with A are to be had, and Jacobians as such A."""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
from scipy.linalg.lapack import dlartg
from torch import Tensor


class Affine:
    """v -> b + A v, all (B, *dims), for `solve`; restricted to some samples where the product has a select."""

    def __init__(self, product: Callable[[Tensor], Tensor], b: Tensor) -> None:
        self.product, self.b = product, b
        if hasattr(product, "select"):
            self.select = lambda indices: Affine(product.select(indices), b[indices])

    def __call__(self, v: Tensor) -> Tensor:
        return self.b + self.product(v)


def series(product: Callable[[Tensor], Tensor], b: Tensor, tol: float, max_iter: int) -> tuple[Tensor, Tensor, int]:
    """v = b + A v by the Neumann series, (B, *dims), the relative length of its last step, (B,), and its rounds.

    All samples go on together until each has a step of tol relative, or for max_iter rounds. It is Picard's iteration
    without its records: beside a product of microseconds they would be most of the cost.
    """
    v, rounds, relative = b, 0, b.new_full((len(b),), torch.inf)
    while rounds < max_iter:
        moved = b + product(v)
        rounds += 1
        relative = (moved - v).flatten(1).norm(dim=1) / moved.flatten(1).norm(dim=1).clamp_min(1e-30)
        v = moved
        if not bool((relative > tol).any()):  # a nan ends it too
            break
    return v, relative, rounds


def gmres(product: Callable[[Tensor], Tensor], b: Tensor, tol: float, max_iter: int) -> tuple[Tensor, Tensor, Tensor]:
    """The solution of v = b + A v, its residual b + A v - v, both (B, *dims), and the relative one that stopped it.

    Each sample has a Krylov space of its own, without restarts, in float64 on the processor; all of them share a call
    of the product, v -> A v (B, *dims). A sample stops at an estimated residual of tol ||b||, (B,) float64 relative to
    ||b||, or after max_iter products; one more finds the residual. A sample of b that is not finite gives nan.
    """
    v, residual = torch.full_like(b, torch.nan), torch.full_like(b, torch.nan)
    estimate = torch.full((len(b),), torch.nan, dtype=torch.float64)
    finite = [i for i in range(len(b)) if b[i].isfinite().all()]
    runs = {i: _krylov(b[i].flatten().double().cpu().numpy(), tol, max_iter) for i in finite}
    replies: dict[int, Any] = dict.fromkeys(finite)
    while replies:
        asked = {}
        for i, reply in replies.items():
            try:
                asked[i] = runs[i].send(reply)
            except StopIteration as end:
                v[i], residual[i] = (torch.from_numpy(x).view(b[i].shape).to(b) for x in end.value[:2])
                estimate[i] = end.value[2]
        if not asked:
            break
        w = torch.zeros_like(b)
        for i, x in asked.items():
            w[i] = torch.from_numpy(x).view(b[i].shape).to(b)
        Aw = product(w)
        replies = {i: x - Aw[i].flatten().double().cpu().numpy() for i, x in asked.items()}
    return v, residual, estimate


Krylov = Generator[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, float]]


def _krylov(b: np.ndarray, tol: float, max_iter: int) -> Krylov:
    """GMRES on M x = b, (n,) float64: it yields x and is sent M x; x, b - M x and the estimated relative residual.

    The operations are those of scipy 1.17's gmres in their order, which cannot wait for a product between calls.
    """
    length, most, eps = float(np.linalg.norm(b)), min(max_iter, b.size), float(np.finfo(np.float64).eps)
    if length == 0 or tol > 1:
        return np.zeros_like(b), b, float(length > 0)
    V, H, S = np.empty((most + 1, b.size)), np.zeros((most, most + 1)), np.zeros(most + 1)
    rotations: list[tuple[float, float]] = []
    V[0], S[0] = b * (1 / length), length
    for j in range(most):
        w = yield V[j]
        before = float(np.linalg.norm(w))
        for k in range(j + 1):  # modified Gram-Schmidt
            H[j, k] = np.dot(V[k], w)
            w = w - H[j, k] * V[k]
        after = float(np.linalg.norm(w))
        exact = after <= eps * before
        H[j, j + 1] = 0 if exact else after
        V[j + 1] = w if exact else w * (1 / after)
        for k, (c, s) in enumerate(rotations):
            H[j, k], H[j, k + 1] = c * H[j, k] + s * H[j, k + 1], -s * H[j, k] + c * H[j, k + 1]
        c, s, H[j, j] = dlartg(H[j, j], H[j, j + 1])
        rotations.append((c, s))
        S[j], S[j + 1] = c * S[j], -s * S[j]
        if abs(S[j + 1]) <= length * min(1.0, tol * length / length) or exact or not np.isfinite(after):
            break
    if H[j, j] == 0:  # a singular system
        S[j] = 0
    y = S[: j + 1].copy()
    for k in range(j, -1, -1):
        if y[k] != 0:
            y[k] /= H[k, k]
            y[:k] -= y[k] * H[k, :k]
    x = y @ V[: j + 1]
    return x, b - (yield x), float(abs(S[j + 1]) / length)


class Jacobian:
    """J = df/dz at z, (B, *dims), by products; f is evaluated once, and its graph is kept while this lives."""

    def __init__(self, f: Callable[[Tensor], Tensor], z: Tensor) -> None:
        self.products = 0  # samples that passed
        self._transposed: tuple[Tensor, Tensor] | None = None
        with torch.enable_grad():
            self.z = z.detach().requires_grad_()
            self.fz = f(self.z)

    def transposed(self, v: Tensor) -> Tensor:
        """J^T v, (B, *dims)."""
        self.products += len(v)
        return _pull(self.fz, self.z, v)

    def times(self, v: Tensor) -> Tensor:
        """J v, (B, *dims): J^T w, which is linear in w, is differentiated in w."""
        self.products += len(v)
        if self._transposed is None:
            with torch.enable_grad():
                w = torch.zeros_like(self.fz, requires_grad=True)
                self._transposed = _pull(self.fz, self.z, w, create_graph=True), w
        return _pull(*self._transposed, v)

    def dense(self) -> Tensor:
        """J as matrices (B, n, n) of n values a sample, by n products for all samples, in one call where f allows."""
        n = self.z[:1].numel()
        self.products += n * len(self.z)
        unit = torch.eye(n, dtype=self.z.dtype, device=self.z.device).view(n, 1, *self.z.shape[1:])
        basis = unit.expand(n, *self.z.shape)
        try:
            rows = _pull(self.fz, self.z, basis, is_grads_batched=True)
        except RuntimeError:  # an operation of f that cannot be batched, such as a user's own autograd.Function
            rows = torch.stack([_pull(self.fz, self.z, v) for v in basis])
        return rows.reshape(n, len(self.z), n).transpose(0, 1)


def _pull(y: Tensor, x: Tensor, v: Tensor, **options: bool) -> Tensor:
    """(dy/dx)^T v; zeros where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(v)
    (product,) = torch.autograd.grad(y, x, v, retain_graph=True, allow_unused=True, **options)
    return torch.zeros_like(v) if product is None else product
