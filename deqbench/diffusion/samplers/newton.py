"""Newton's method on the whole chain: what slopes known exactly would bring.

No Jacobian is formed: a sweep takes each step's product with the change that reaches it. These products come one after
another, N small network calls where a round is one large one, so this is a bound for methods that learn slopes from
rounds and no fast sampler.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from deqbench.bounds import NonNegative
from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.sampled import Round
from deqbench.diffusion.samplers.secant import slopes
from deqbench.solvers.nodes import rows
from deqbench.solvers.secant import Slopes


def sample(chain: DDIMChain, *, tol: NonNegative = 1e-3, data_variance: NonNegative = 0.2) -> Iterator[Round]:
    """The chain until every state moved by at most `tol` of its length; 0 runs to the sequential result.

    The start, the slopes of the first iteration and the bounds are those of the secant sweeps (data_variance: see
    there); from the second iteration on slopes are the network's own, along each change held between those bounds:
    without them the first changes grow beyond all measure. A product is a difference quotient. An iteration counts as
    two rounds, though its products cannot be taken at once, and as one evaluation a step and one a product. States that
    are final, one more in each iteration, are not evaluated again.
    """
    known = slopes(chain, data_variance)
    path = torch.cat([known.guess.new_ones(1), known.guess.cumprod(0)])
    states = torch.einsum("n,b...->bn...", path.to(chain.x_T), chain.x_T)  # (B, N + 1, *dims), x_T the first
    active = torch.arange(len(states))
    for first in range(chain.steps):
        before = states[active, first:]
        after, evaluated = _iterated(chain.select(active), before, first, known)
        states[active, first + 1 :] = after
        moved = (after - before[:, 1:]).flatten(2).norm(dim=2) > tol * after.flatten(2).norm(dim=2)
        going = moved.any(1).cpu() & (first + 1 < chain.steps)
        yield Round(
            samples=active,
            settled=~going,
            nfe=evaluated,
            calls=1 if first == 0 else 2,
            x0=after[:, -1],
            states=lambda: states[:, 1:],
        )
        active = active[going]
        if not len(active):
            return


def _iterated(chain: DDIMChain, states: Tensor, first: int, known: Slopes) -> tuple[Tensor, int]:
    """The states after the steps from `first` on, whose state is final, and the evaluations of an image.

    states: (b, M + 1, *dims), before the M steps and after the last.
    """
    indices = torch.arange(first, chain.steps)
    inputs = states[:, :-1]
    eps = chain.step_terms(inputs.flatten(0, 1), indices.repeat(len(states))).unflatten(0, inputs.shape[:2])
    after = chain.combine(states[:, 0], inputs, eps, first, torch.zeros(chain.steps, dtype=torch.float64))
    reached, calls = [after[:, 0]], len(indices)
    for j in range(1, len(indices)):
        change = reached[-1] - inputs[:, j]
        if first == 0:  # the start is too far off for its own slopes
            reached.append(after[:, j] + float(known.guess[j]) * change)
            continue
        response = _response(chain, inputs[:, j], eps[:, j], change, indices[j])
        calls += 1
        along = torch.linalg.vecdot(change.flatten(1), response.flatten(1))
        along /= change.flatten(1).square().sum(1).clamp_min(torch.finfo(change.dtype).tiny)
        held = along.clamp(float(known.low[first + j]), float(known.high[first + j])) - along
        reached.append(after[:, j] + response + rows(held, change) * change)
    return torch.stack(reached, 1), calls


def _response(chain: DDIMChain, x: Tensor, eps: Tensor, change: Tensor, step: Tensor) -> Tensor:
    """The change of the state after a step by that of the state x before it, to first order: (b, *dims)."""
    lengths = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(change.dtype).tiny)
    share = torch.finfo(x.dtype).eps ** (1 / 3) * x.flatten(1).norm(dim=1) / lengths
    share = rows(share.clamp_max(torch.finfo(x.dtype).max ** 0.5), change)
    product = (chain.step_terms(x + share * change, step.repeat(len(x))) - eps) / share
    return float(chain.ratio[step]) * change + float(chain.scale[step]) * product
