"""Images at several eta, as a section of the config."""

from typing import Annotated

from pydantic import Field

from deqbench.config.strict import Eta, Strict
from deqbench.experiments.named import DatasetName, MethodName
from deqbench.experiments.stage import Section


class Samples(Strict):
    """Images from one x_T at several eta. Source: DEQ-DDIM, figures 12 and 13."""

    method: MethodName
    eta: list[Eta] = Field(min_length=1)
    datasets: dict[DatasetName, Annotated[int, Field(ge=1)]] = Field(description="T by data set")


SECTIONS = {"": Section(Samples)}
