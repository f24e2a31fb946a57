"""Equilibrium layers of score networks, and how their losses are differentiated, as a section of the config."""

from typing import Any, Literal

from pydantic import Field

from deqbench.config.strict import Count, Strict

Objective = Literal["ssm", "ssm-vr"]
Engine = Literal["auto", "jets", "loop", "batched", "func"]


class Layer(Strict):
    """The settings of an equilibrium layer, where a network has one, and of its derivatives."""

    normalisation: Literal["frobenius", "operator", "none"] = Field("frobenius", description="of its weights")
    bound: float = Field(1.05, gt=0, description="lambda: the weights over their norm times this")
    derivative: Literal["exact", "phantom"] = Field("phantom", description="in training")
    steps: Count = Field(2, description="K of the phantom derivative, in training and where it is shown")
    tol: float = Field(1e-5, gt=0, description="relative, of the solve and of its adjoints")
    max_iter: Count = 128
    engine: Engine = Field("jets", description="how the loss of a training step is differentiated")

    @property
    def cell(self) -> dict[str, Any]:
        """Settings of its cell."""
        return {"normalisation": self.normalisation, "bound": self.bound}

    @property
    def solve(self) -> dict[str, Any]:
        """Settings of its DEQ: Picard's iteration, as in the paper; derivatives' systems by GMRES."""
        about = {"solver": "picard", "tol": self.tol, "max_iter": self.max_iter, "adjoint": "gmres"}
        return {**about, "derivative": self.derivative, "steps": self.steps}
