"""A job for the costs; one a data set for the encoder; one a data set and seed for the networks on it, and jointly."""

from typing import Any

from deqbench.experiments.deq_score_matching.layers import Objective
from deqbench.experiments.deq_score_matching.vae.config import Costs, Frozen, Joint, Score, Vae
from deqbench.experiments.scope import Scope, Slice
from deqbench.experiments.stage import Stage
from deqbench.training.settings import Optimisation

ENCODER = {"weights": "{dataset}/encoder.safetensors"}


class VaeSlice(Slice):
    """The beginning of every slice."""

    width: int
    latent: int
    sigma: float
    objective: Objective
    networks: dict[str, Score]


class CostJob(VaeSlice):
    """Costs of a step, and the printed layers."""

    costs: Costs


class EncodeJob(VaeSlice):
    """The encoder that stays."""

    dataset: str
    optimisation: Optimisation


class CompareJob(VaeSlice):
    """All networks on one encoder."""

    dataset: str
    number: int
    frozen: Frozen


class GenerateJob(VaeSlice):
    """All networks, each trained with its own encoder and decoder."""

    dataset: str
    number: int
    joint: Joint
    extractor: str | None


def _common(scope: Scope) -> dict[str, Any]:
    section: Vae = scope.section
    named = ("width", "latent", "sigma", "objective", "networks")
    return {**scope.slice, **{name: getattr(section, name) for name in named}}


def cost(scope: Scope) -> CostJob:
    """The slice behind the costs."""
    return CostJob(**_common(scope), costs=scope.section.costs)


def encode(scope: Scope, dataset: str) -> EncodeJob:
    """The slice behind one data set's encoder."""
    return EncodeJob(**_common(scope), dataset=dataset, optimisation=scope.section.frozen.encoder)


def compare(scope: Scope, dataset: str, seed: str) -> CompareJob:
    """The slice behind the networks on one encoder, from one seed."""
    return CompareJob(**_common(scope), dataset=dataset, number=int(seed), frozen=scope.section.frozen)


def generate(scope: Scope, dataset: str, seed: str) -> GenerateJob:
    """The slice behind the networks that are trained jointly, from one seed."""
    extractor = scope.config.datasets[dataset].extractor
    joint = {"joint": scope.section.joint, "extractor": extractor}
    return GenerateJob(**_common(scope), dataset=dataset, number=int(seed), **joint)


def _images(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    return {"dataset": scope.datasets([dataset])}


def _with_encoder(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    weights = f"{scope.own}/{ENCODER['weights'].format(dataset=dataset)}"
    return {**_images(scope, dataset), "encoder": [weights]}


def _with_features(scope: Scope, dataset: str, **_: str) -> dict[str, list[str]]:
    known = scope.config.datasets[dataset].extractor is not None
    return {**_images(scope, dataset), "features": [f"{scope.results}/statistics/{dataset}.safetensors"] * known}


STAGES = (
    Stage(cost, "costs of a step", {"records": "costs.csv", "layers": "layers.csv"}, alone=True),
    Stage(
        encode,
        "encoder of {dataset}",
        ENCODER,
        lambda scope: [{"dataset": name} for name in scope.section.datasets],
        _images,
    ),
    Stage(
        compare,
        "score networks on the encoder of {dataset}, seed {seed}",
        {"records": "{dataset}/frozen-{seed}.csv", "history": "{dataset}/frozen-{seed}.parquet"},
        lambda scope: [{"dataset": d, "seed": s} for d in scope.section.datasets for s in scope.section.frozen.seeds],
        _with_encoder,
    ),
    Stage(
        generate,
        "VAEs of {dataset}, seed {seed}",
        {
            name: f"{{dataset}}/joint-{{seed}}.{end}"
            for name, end in {"records": "csv", "history": "parquet", "images": "safetensors"}.items()
        },
        lambda scope: [{"dataset": d, "seed": s} for d in scope.section.datasets for s in scope.section.joint.seeds],
        _with_features,
    ),
)
