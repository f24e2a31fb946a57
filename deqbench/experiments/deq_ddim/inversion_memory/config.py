"""Bytes of gradients and inverters, as a section of the config, by data set."""

from pydantic import Field

from deqbench.config.strict import Count, Name, Strict
from deqbench.experiments.deq_ddim.variants import Variants, variant
from deqbench.experiments.named import one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

WEIGHED = {  # few rounds and products: how many there are does not change what lives at once, but for GMRES' own basis
    "backprop": variant("backprop"),
    "backprop-checkpointed": variant("backprop", checkpointing=True),
    "released": variant("released", forward="sequential"),
    "phantom-1": variant("phantom"),
    "phantom-1-joint": variant("phantom", forward="joint", tol=0.0, max_iter=6),
    "implicit": variant("implicit"),
    "gmres": variant("implicit", adjoint="gmres", adjoint_tol=0.0, adjoint_max_iter=5),
}


class InversionMemory(Strict):
    """Bytes that a gradient, or a whole inversion, of one image takes, against T."""

    T: list[Count] = Field(min_length=2)
    variants: Variants = WEIGHED
    inverters: list[Name] = Field([], description="of the section inverters; of a descent one update")


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for dataset, share in scope.section.items():
        one_of(scope.key, dataset, scope.config.datasets)
        for inverter in share.inverters:
            one_of(f"{scope.key}.{dataset}.inverters", inverter, scope.shared.inverters)


SECTIONS = {"": Section(dict[Name, InversionMemory], check)}
