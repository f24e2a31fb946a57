"""Scores and times of sampled images, as a section of the config."""

from pydantic import Field

from deqbench.config.strict import Eta, Name, Steps, Strict
from deqbench.experiments.named import able, one_of
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Scored(Strict):
    """Chains that are sampled for the scores of one data set."""

    T: Steps = Field(description="steps of the chain")
    images: int = Field(ge=40, description="images per method and T; intervals are jackknifed over 20 blocks of them")
    shards: int = Field(1, ge=1, description="jobs that share the images of one method")
    methods: list[Name] | None = Field(None, min_length=1, description="of the methods scored, those scored here")


class Times(Strict):
    """Chains that are timed for one data set, one image at a time."""

    T: Steps
    repeats: int = Field(ge=2, description="timed runs per method and T, interleaved, after a warm-up")
    longest_s: float = Field(10.0, gt=0, description="a method's repeats stop (at three or more) past it")


class Scores(Strict):
    """Scores and times of single-image sampling. Source: DEQ-DDIM, tables 1, 2 and 4."""

    methods: list[Name] = Field(min_length=1, description="methods scored, the baseline among them")
    timed: list[Name] = Field(min_length=1, description="methods timed")
    eta: dict[Name, list[Eta]] | None = Field(
        None,
        description="by data set: methods are walked at each, those with an eta of their own at that only; none: at it",
    )
    scores: dict[Name, Scored]
    times: dict[Name, Times]

    def scored(self, dataset: str) -> list[str]:
        """The methods whose images of a data set are scored."""
        return self.scores[dataset].methods or self.methods

    def etas(self, dataset: str) -> list[float]:
        """The eta that every method is walked at; none: each at its own."""
        return [] if self.eta is None else self.eta[dataset]


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name or eta that is not there."""
    section: Scores = scope.section
    for key in ("methods", "timed"):
        for method in getattr(section, key):
            one_of(f"{scope.key}.{key}", method, scope.shared.methods)
    for key in ("scores", "times"):
        for dataset in getattr(section, key):
            one_of(f"{scope.key}.{key}", dataset, scope.config.datasets)
    for dataset in section.scores:
        for method in section.scored(dataset):
            one_of(f"{scope.key}.scores.{dataset}.methods", method, section.methods)
        one_of(f"papers.{scope.paper}.baseline", scope.shared.baseline, section.scored(dataset))
    if section.eta is not None:
        _check_eta(scope, section)


def _check_eta(scope: Scope, section: Scores) -> None:
    known, baseline = scope.shared.methods, scope.shared.baseline
    if baseline in known and known[baseline].eta:
        raise ValueError(
            f"@papers.{scope.paper}.baseline@expected a method of eta 0, to be walked at each; found another"
        )
    for dataset in (*section.scores, *section.times):
        key = f"{scope.key}.eta.{dataset}"
        if dataset not in (section.eta or {}):
            raise ValueError(f"@{key}@expected a list of eta; found none")
    for dataset in section.scores:
        etas = section.etas(dataset)
        for method in section.scored(dataset):
            if any(etas):
                able(f"{scope.key}.methods.{method}", "diffusion/samplers", known[method].sampler, "eta > 0")
            own = known[method].eta
            if own and own not in etas:
                key = f"{scope.key}.eta.{dataset}"
                raise ValueError(f"@{key}@expected {own:g} among them, for {method}; found {etas}")


SECTIONS = {"": Section(Scores, check)}
