"""The training of a network, as a type that a config can hold. Nothing heavy is imported."""

from typing import Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Strict


class Optimisation(Strict):
    """Everything about a training but its network, its loss and its data."""

    steps: int = Field(ge=1, description="updates at most")
    batch: int = Field(ge=1, description="rows or tasks of one update, and of one call in a validation")
    lr: float = Field(gt=0, description="highest learning rate")
    seed: int = Field(0, ge=0, description="of every draw; step k draws from a generator of (seed, k)")
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0, ge=0)
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        "constant", description="of the learning rate; cosine after 5 % of linear warm-up"
    )
    clip: float | None = Field(None, gt=0, description="longest gradient, its 2-norm over all parameters")
    ema_decay: float | None = Field(None, ge=0, lt=1, description="of the averaged weights, which then are the result")
    bf16: bool = Field(False, description="the loss under autocast to bfloat16")
    validate_every: int | None = Field(None, ge=1, description="updates; the weights of the best validation are kept")
    patience: int | None = Field(None, ge=1, description="validations in a row without a better one that end the run")
    keep_every: int = Field(250, ge=1, description="updates after which the progress is stored")

    @model_validator(mode="after")
    def _patience_has_something_to_wait_for(self) -> "Optimisation":
        if self.patience and not self.validate_every:
            raise ValueError("patience: expected validate_every beside it; found none")
        return self
