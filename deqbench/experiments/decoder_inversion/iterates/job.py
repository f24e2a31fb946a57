"""A job a model: cocoercivity on the iterates of its inversions, and theorems and precision where a scale has them."""

from deqbench.experiments.decoder_inversion.iterates.config import Cocoercivity, HalfPrecision, Theorems
from deqbench.experiments.decoder_inversion.shared import (
    Inverter,
    ModelSlice,
    autoencoder_and_targets_of,
    model_slice,
    models_of,
    resolved,
)
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Stage


class IteratesJob(ModelSlice):
    """Iterates of one model's inversions."""

    cocoercivity: Cocoercivity
    theorems: Theorems | None
    precision: HalfPrecision | None
    inverters: dict[str, Inverter]


def cocoercivity(scope: Scope, dataset: str) -> IteratesJob:
    """The slice behind one model's iterates."""
    section: Cocoercivity = scope.section
    theorems, precision = scope.shared.experiment("theorems"), scope.shared.experiment("precision")
    names = [name for runs in section.figures.values() for name in runs.inverters]
    names += [*theorems.inverters, theorems.zero] if theorems else []
    names += precision.inverters if precision else []
    return IteratesJob(
        **model_slice(scope, dataset),
        cocoercivity=section,
        theorems=theorems,
        precision=precision,
        inverters=resolved(scope, names),
    )


def _outputs(scope: Scope) -> dict[str, str]:
    """By name, with the ending's: figure_2_csv and figure_2_parquet hold the same rows, for tables and for drawings."""
    paths = [
        f"cocoercivity/{{dataset}}/{exhibit}{end}" for exhibit in scope.section.figures for end in (".csv", ".parquet")
    ]
    if scope.shared.experiment("theorems"):
        paths += ["theorems/{dataset}/runs.csv", "theorems/{dataset}/remarks.csv"]
    if scope.shared.experiment("precision"):
        paths += [f"precision/{{dataset}}/{name}" for name in ("gradients.csv", "iterates.csv", "iterates.parquet")]
    return {path.rsplit("/", 1)[-1].replace("-", "_").replace(".", "_"): path for path in paths}


STAGES = (Stage(cocoercivity, "iterates of inversions on {dataset}", _outputs, models_of, autoencoder_and_targets_of),)
