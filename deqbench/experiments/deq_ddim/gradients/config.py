"""Gradients beside the exact one, as a section of the config, by data set."""

from typing import Literal

from pydantic import Field

from deqbench.config.strict import Count, Name, Steps, Strict
from deqbench.experiments.deq_ddim.variants import Variants, variant
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

COMPARED = {
    "backprop": variant("backprop"),
    "released": variant("released", forward="sequential"),
    "phantom-1": variant("phantom"),
    "phantom-2": variant("phantom", steps=2),
    "phantom-5": variant("phantom", steps=5),
    "phantom-5-undamped": variant("phantom", steps=5, tau=1.0),
    "implicit": variant("implicit"),
    "implicit-joint": variant("implicit", forward="joint"),
    "implicit-joint-converged": variant("implicit", double=True, forward="joint", tol=1e-9, max_iter=100),
    "gmres": variant("implicit", adjoint="gmres"),
    "gmres-5": variant("implicit", adjoint="gmres", adjoint_max_iter=5),
    "broyden": variant("implicit", adjoint="broyden"),
    "broyden-5": variant("implicit", adjoint="broyden", adjoint_max_iter=5),
    "broyden-10": variant("implicit", adjoint="broyden", adjoint_max_iter=10),
    "neumann-3": variant("implicit", adjoint="neumann", adjoint_max_iter=3),
    "neumann-10": variant("implicit", adjoint="neumann", adjoint_max_iter=10),
}


class Gradients(Strict):
    """Gradients of the inversion loss beside the exact one, at several places of x_T."""

    T: Steps
    images: Count = 2
    starts: list[Literal["noise", "encoding", "part-way"]] = Field(
        ["noise", "encoding", "part-way"],
        min_length=1,
        description="x_T: N(0, I), the encoding, on the way of a descent",
    )
    epochs: Count = Field(20, description="updates by exact gradients from noise to part-way")
    lr: float = Field(0.05, gt=0, description="rate of these updates")
    variants: Variants = COMPARED


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for dataset in scope.section:
        one_of(scope.key, dataset, scope.config.datasets)


SECTIONS = {"": Section(dict[Name, Gradients], check)}
