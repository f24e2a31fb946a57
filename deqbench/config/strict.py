"""What every section of a config is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Steps = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), Field(min_length=1)]


class Strict(BaseModel):
    """A section that refuses unknown keys and cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
