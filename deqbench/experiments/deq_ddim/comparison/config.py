"""The comparison of all samplers on the same chains, as a section of the config."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from deqbench.config.strict import Name, Strict
from deqbench.experiments.deq_ddim.shared import Images, resolved
from deqbench.experiments.named import one_of, wrong_option
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section

MIXTURES = ("mixture-64", "mixture-3072")  # analytic chains, see problems.py


class Compared(Strict):
    """How one method takes part."""

    oracle: dict[str, Any] = Field(
        {}, description="options that keep it going past its own stop, to see when it is right"
    )
    candidates: list[dict[str, Any]] = Field(
        [], description="options tried on calibration images; the best are taken, one choice a problem and T"
    )


class Chains(Strict):
    """The chains of one problem, by T."""

    images: Images = Field(min_length=1, description="images solved, by T")
    timed: Images = Field({}, description="images timed, by T; methods take turns")
    calibration: Images = Field({}, description="images that candidates are chosen on, by T; none of those measured")
    only: dict[Annotated[int, Field(ge=1)], Annotated[list[Name], Field(min_length=1)]] = Field(
        {}, description="of the methods compared, those at a T; all where it says nothing"
    )


class Comparison(Strict):
    """Rounds, evaluations, errors and times of all methods on the same chains (eta 0)."""

    methods: dict[Name, Compared] = Field(min_length=1, description="methods compared, the baseline among them")
    problems: dict[Name, Chains] = Field(
        min_length=1, description=f"data sets, each by its network, or analytic: {', '.join(MIXTURES)}"
    )

    @model_validator(mode="after")
    def _lengths_fit(self) -> "Comparison":
        tuned = [name for name, compared in self.methods.items() if compared.candidates]
        for problem, chains in self.problems.items():
            for T in (*chains.timed, *chains.calibration, *chains.only):
                if T not in chains.images:
                    known = ", ".join(map(str, chains.images))
                    raise ValueError(f"expected T of {problem}'s images ({known}); found {T}")
            for T, names in chains.only.items():
                for name in names:
                    if name not in self.methods:
                        known, found = ", ".join(self.methods), f"found {name} at T {T}"
                        raise ValueError(f"expected methods compared ({known}) in {problem}'s only; {found}")
            for T in chains.images:
                if tuned and T not in chains.calibration:
                    raise ValueError(
                        f"expected calibration images of {problem} at T {T}, as {tuned[0]} has candidates; found none"
                    )
        return self

    def compared(self, problem: str, T: int) -> dict[Name, Compared]:
        """The methods compared on a problem at a T."""
        names = self.problems[problem].only.get(T, list(self.methods))
        return {name: compared for name, compared in self.methods.items() if name in names}

    def options(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Key, method and options of everything that is laid over a method's own options."""
        for name, compared in self.methods.items():
            yield f"comparison.methods.{name}.oracle", name, compared.oracle
            for at, candidate in enumerate(compared.candidates):
                yield f"comparison.methods.{name}.candidates.{at}", name, candidate


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for a method, problem or option that is not there."""
    section: Comparison = scope.section
    known = scope.shared.methods
    one_of(f"{scope.key}.methods", scope.shared.baseline, section.methods)
    for name in section.methods:
        one_of(f"{scope.key}.methods", name, known)
        if known[name].eta:
            raise ValueError(f"@{scope.key}.methods.{name}@expected a method of eta 0; found another")
    for problem in section.problems:
        one_of(f"{scope.key}.problems", problem, (*scope.config.datasets, *MIXTURES))
    for place, name, options in section.options():
        method = resolved(scope, "methods", [name])[name]
        if wrong := wrong_option("diffusion/samplers", method.sampler, {**method.options, **options}):
            option, words = wrong.split(": ", 1)
            raise ValueError(f"@papers.{scope.paper}.{place}.{option}@{words}")


SECTIONS = {"": Section(Comparison, check)}
