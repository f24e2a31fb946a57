"""What every section of a config is made of."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from deqbench.sentences import Strict as Strict

One = BeforeValidator(lambda value: value if isinstance(value, list) else [value])  # one value stands for a list of it
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Eta = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[list[Annotated[int, Field(ge=1)]], One, Field(min_length=1)]
