"""The base of every section of a config, and types of its values."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

One = BeforeValidator(lambda value: value if isinstance(value, list) else [value])  # one value stands for a list of it
NAME = "^[a-z0-9][a-z0-9-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Eta = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[list[Annotated[int, Field(ge=1)]], One, Field(min_length=1)]


class Strict(BaseModel):
    """A section that refuses unknown keys and cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
