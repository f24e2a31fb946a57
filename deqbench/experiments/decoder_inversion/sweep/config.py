"""Sweeps over methods, iterations, rates and precisions, as a section of the config."""

from pydantic import Field, model_validator

from deqbench.config.strict import Count, Name, Steps, Strict
from deqbench.experiments.decoder_inversion.shared import known
from deqbench.experiments.named import InverterName, ModelName
from deqbench.experiments.scope import Scope
from deqbench.experiments.stage import Section


class Swept(Strict):
    """The inversions of one model's targets."""

    inverters: list[InverterName] = Field(min_length=1, description="methods, the encoder among them")
    budgets: Steps = Field(description="iterations that errors are reported at")
    limits: dict[Name, Steps] = Field({}, description="budgets by method, where they are others")
    images: int | None = Field(None, ge=2, description="only so many of the test targets; none: all")
    all_rates: bool = Field(False, description="test targets at every rate tried, for figure 3")
    to_plateau: list[Name] = Field(
        [],
        description="methods that stop at the ladder's plateau, or at their largest budget; scheduled ones only there",
    )
    timed: int = Field(0, ge=0, description="test images that every method is timed on, one at a time, in turn")

    @property
    def by_method(self) -> dict[str, list[int]]:
        """The budgets of each method, rising."""
        return {name: sorted(self.limits.get(name, self.budgets)) for name in self.inverters}


class Ladder(Strict):
    """Seconds to each level of error, and against baselines."""

    baselines: list[InverterName] = Field(
        min_length=1, description="gradient-based methods, run to their plateaus where told"
    )
    step: float = Field(1.0, gt=0, description="dB between two levels")
    plateau: float = Field(0.05, gt=0, description="dB: a run that improves by less has reached its plateau")
    within: Count = Field(50, description="iterations within which that is asked")


class Sweep(Strict):
    """Error against iterations and seconds. Source: figures 1b and 3, tables S1a to S1c, S2a and S2b."""

    models: dict[ModelName, Swept] = Field(min_length=1)
    ladder: Ladder
    dense: int = Field(20, ge=0, description="iterations until which each one is traced")
    record_every: int = Field(10, ge=1, description="every which iteration is traced, after those")
    timed_iterations: Steps = Field([1, 4], description="budgets timed; between and beyond them times are linear")
    timed_more: dict[InverterName, Steps] = Field({}, description="by method, where the cost of an iteration changes")

    @model_validator(mode="after")
    def _timed_twice(self) -> "Sweep":
        for name, timed in (("all methods", self.timed_iterations), *self.timed_more.items()):
            if len(set(timed)) < 2:
                raise ValueError(f"expected two timed budgets of {name} at least; found {timed}")
        return self

    @model_validator(mode="after")
    def _plateau_traced(self) -> "Sweep":
        asked = any(swept.to_plateau for swept in self.models.values())
        if asked and self.ladder.within % self.record_every:
            raise ValueError(
                f"ladder.within: expected a multiple of record_every, {self.record_every}; found {self.ladder.within}"
            )
        return self


def check(scope: Scope) -> None:
    """ValueError, as one sentence with its key, for the first name that is not there."""
    for model, swept in scope.section.models.items():
        known(scope, f"models.{model}.to_plateau", swept.to_plateau, swept.inverters)
        known(scope, f"models.{model}.limits", swept.limits, swept.inverters)


SECTIONS = {"": Section(Sweep, check)}
