"""How the shipped checkpoints are trained, as types."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from deqbench.config.sections import Name, Strict


class DiffusionRecipe(Strict):
    """How a noise-prediction network of the zoo is trained."""

    kind: Literal["diffusion"]
    dataset: Name
    unet: dict[str, Any] = Field(description="arguments of diffusers' UNet2DModel")
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    bf16: bool
    seed: int
    data_licence: str


class ClassifierRecipe(Strict):
    """How a feature extractor of the zoo is trained."""

    kind: Literal["classifier"]
    dataset: Name
    task: Literal["labels", "corruptions"]
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    seed: int
    data_licence: str


Recipe = Annotated[DiffusionRecipe | ClassifierRecipe, Field(discriminator="kind")]
RECIPES: TypeAdapter[dict[str, Recipe]] = TypeAdapter(dict[Name, Recipe])
