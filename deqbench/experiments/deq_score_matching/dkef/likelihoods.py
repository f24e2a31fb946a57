"""Log-likelihoods of test rows: the normaliser by three proposals and by annealing, and which of them is taken."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from deqbench.experiments.deq_score_matching.dkef.config import Likelihood
from deqbench.score_matching.dkef import DKEF
from deqbench.score_matching.likelihood import LogNormaliser, Normal, annealed, importance


def normalisers(net: DKEF, tuning: Tensor, how: Likelihood, generator: torch.Generator) -> dict[str, LogNormaliser]:
    """Estimates of log Z by name: base (draws from q0), narrow, wide (normals fitted to tuning rows) and ais."""
    proposals = {
        "base": Normal.isotropic(tuning.shape[1], net.base_scale),
        "narrow": Normal.fitted(tuning, how.narrow),
        "wide": Normal.fitted(tuning, how.wide),
    }
    found = {name: importance(net, p, draws=how.draws, generator=generator) for name, p in proposals.items()}
    if how.chains:
        along: Any = {"chains": how.chains, "temperatures": how.temperatures}
        found["ais"] = annealed(net, proposals["wide"], **along, generator=generator)
    return found


def likelihoods(
    net: DKEF, test: Tensor, tuning: Tensor, how: Likelihood, generator: torch.Generator
) -> Iterator[tuple[str, float, str]]:
    """Metric, value and unit: mean log-likelihood of test rows by each estimate, and by the one of the largest ESS.

    untrusted: 1 where even that ESS is too small for its standard error to mean anything.
    """
    with torch.no_grad():
        log_density = float(net(test).double().mean())
    found = normalisers(net, tuning, how, generator)
    for name, z in found.items():
        yield f"log_likelihood_{name}", log_density - z.value, "nat"
        yield f"ess_{name}", z.ess, "draws"
    best = max(found.values(), key=lambda z: z.ess)
    values = [log_density - z.value for z in found.values()]
    yield "log_likelihood", log_density - best.value, "nat"
    yield "ess", best.ess, "draws"
    yield "log_normaliser_error", best.error, "nat"
    yield "spread", max(values) - min(values), "nat"
    yield "untrusted", float(not best.trusted), ""
