"""What phantom derivatives differ from exact ones by, on one batch of a training. Source: appendix C."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deqbench.score_matching.losses import score, score_matching_loss
from deqbench.solvers.deq import differentiated

Objective = Literal["sm", "ssm", "ssm-vr"]
EXACT: dict[str, Any] = {"derivative": "exact", "adjoint": "dense", "adjoint_tol": 1e-6}


@dataclass(frozen=True)
class Compared:
    """Phantom against exact derivatives of the same weights on the same rows and projections."""

    score_error: Tensor  # (B,) ||s - s~|| / ||s||
    score_cosine: Tensor  # (B,)
    gradient_cosine: float  # of the loss, over all parameters
    exact_loss: float
    phantom_loss: float


def compared(net: nn.Module, x: Tensor, objective: Objective, steps: int, generator: torch.Generator) -> Compared:
    """The comparison at rows x (B, d). The generator draws the projections of both losses, and is left as it was."""
    phantom = {"derivative": "phantom", "steps": steps}
    scores, losses, gradients = [], [], []
    for settings in (EXACT, phantom):
        with differentiated(net, **settings):
            scores.append(score(net, x).detach())
            loss = score_matching_loss(net, x, kind=objective, generator=_copied(generator))
            gradients.append(_gradient(net, loss))
        losses.append(float(loss.detach()))
    cosine = nn.functional.cosine_similarity
    exact, rough = scores
    return Compared(
        (exact - rough).norm(dim=1) / exact.norm(dim=1),
        cosine(exact, rough, dim=1),
        float(cosine(gradients[0], gradients[1], dim=0)),
        *losses,
    )


def _copied(generator: torch.Generator) -> torch.Generator:
    return torch.Generator(generator.device).set_state(generator.get_state())


def _gradient(net: nn.Module, loss: Tensor) -> Tensor:
    """The gradient of a loss over all parameters, in float64, as one vector; 0 for those it does not depend on."""
    parameters = list(net.parameters())
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten().double() for g, p in zip(grads, parameters, strict=True)]
    )
