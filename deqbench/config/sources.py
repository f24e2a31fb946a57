"""Data sets and networks, as sections of the config."""

from typing import Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Strict

Source = Literal["digits", "tissue", "patches", "cifar10", "folder"]
Grid = Literal["uniform-released", "uniform-paper", "quadratic-paper", "quadratic-released"]


class Checkpoint(Strict):
    """Where a network in diffusers' format comes from."""

    form: Literal["denoiser", "autoencoder"] = Field(
        "denoiser", description="a noise-prediction network, or an encoder and a decoder"
    )
    source: Literal["zoo", "folder", "hub"] = Field(description="shipped model, local folder, or a hub's repository")
    name: str = Field(description="zoo model, path of the folder, or repository id such as google/ddpm-cifar10-32")
    revision: str | None = Field(None, description="commit or tag of the repository")
    subfolder: str | None = Field(None, description="folder of the network inside the repository")
    sha256: dict[str, str] = Field({}, description="expected checksum by file name; a mismatch is an error")


class Dataset(Strict):
    """A data set, the network trained on it and the features it is scored with."""

    source: Source = Field(description="a function of deqbench.data.datasets")
    options: dict[str, str | int] = Field({}, description="options of the source, such as root")
    checkpoint: Checkpoint
    extractor: str = Field(description="a zoo classifier's name, or inception")
    grid: Grid = Field("uniform-released", description="how a chain's timesteps are chosen from the training chain")
    stands_in_for: str | None = Field(None, description="the printed row that this data set stands in for")
    printed_as: str | None = Field(None, description="the printed row that this data set is")

    @model_validator(mode="after")
    def _one_row(self) -> "Dataset":
        if self.stands_in_for and self.printed_as:
            raise ValueError("expected one of stands_in_for, printed_as; found both")
        return self
