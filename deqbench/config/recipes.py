"""Trainings of the shipped checkpoints, as types."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from deqbench.config.strict import Name, Strict


class Training(Strict):
    """Fields of every training."""

    dataset: Name
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    seed: int = 0
    data_licence: str


class AveragedTraining(Training):
    """A training whose averaged weights are shipped."""

    ema_decay: float = Field(ge=0, lt=1)
    bf16: bool


class DiffusionRecipe(AveragedTraining):
    """Training of a noise-prediction network."""

    kind: Literal["diffusion"]
    unet: dict[str, Any] = Field(description="arguments of diffusers' UNet2DModel")


class ClassifierRecipe(Training):
    """Training of a feature extractor."""

    kind: Literal["classifier"]
    task: Literal["labels", "corruptions"]


class AutoencoderRecipe(AveragedTraining):
    """Training of an encoder E and a decoder D, together."""

    kind: Literal["autoencoder"]
    form: Literal["AutoencoderKL", "AutoencoderTiny"] = Field(description="a class of diffusers")
    network: dict[str, Any] = Field(description="arguments of that class")
    l1: float = Field(ge=0, description="weight of the mean absolute error beside the mean squared one")
    kl: float = Field(ge=0, description="weight of the divergence from N(0, I), mean over a code's entries")


class LatentRecipe(AveragedTraining):
    """Training of a noise-prediction network on an autoencoder's codes, conditional on the label."""

    kind: Literal["latent"]
    builds_on: Name = Field(description="the autoencoder, a model of the zoo")
    unet: dict[str, Any] = Field(description="arguments of diffusers' UNet2DModel; its last class is no condition")
    drop: float = Field(ge=0, le=1, description="share of the training codes shown without their label")
    noise: float = Field(ge=0, description="standard deviation of the noise added to the training codes")


class OneStepRecipe(AveragedTraining):
    """Training of a generator of one call on pairs that a noise-prediction network on codes makes."""

    kind: Literal["one-step"]
    builds_on: Name = Field(description="the teacher, a latent model of the zoo, whose form and weights it starts from")
    pairs: int = Field(ge=1)
    teacher_steps: int = Field(ge=1, description="DDIM steps of the teacher")


class ScoreRecipe(AveragedTraining):
    """Training of a noise-conditional score network on images in [0, 1]."""

    kind: Literal["score-network"]
    network: dict[str, Any] = Field(description="arguments of deqbench.score_matching.ncsn.network")
    sigmas: dict[str, float] = Field(description="largest, smallest and levels of noise")
    objective: Literal["ssm", "ssm-vr"] = "ssm-vr"
    engine: Literal["jets", "loop"] = "loop"
    validate_every: int = Field(100, ge=1, description="updates; the weights of the least exact loss are kept")


class Preparation(Strict):
    """What is done to the rows of a table before a density is fitted to them, by what train tells."""

    dequantise: float = Field(1.0, ge=0, description="reach of uniform noise, in median gaps between a column's values")
    whiten: bool = Field(True, description="principal components of variance 1")
    noise: float = Field(0.05, ge=0, description="standard deviation of normal noise added last")
    seed: int = Field(0, ge=0, description="of all of it")


class Equilibrium(Strict):
    """A kernel density model whose features come from equilibrium layers. Source: DEQ score matching, section 4.2."""

    width: int = Field(30, ge=1, description="features of each kernel")
    copies: int = Field(3, ge=1, description="kernels")
    points: int = Field(64, ge=1, description="inducing points")
    skip: bool = Field(False, description="a linear map of x added to the features")
    bound: float = Field(1.05, gt=1, description="lambda of the normalisation by the Frobenius norm")
    steps: int = Field(2, ge=1, description="K, iterations of the phantom gradient")
    atol: float = Field(5e-6, gt=0, description="length of a step at which a solve has ended")
    max_iter: int = Field(128, ge=1, description="rounds of a solve")


class DensityRecipe(Training):
    """Training of a kernel density model by phantom derivatives, with the exact loss beside the phantom one."""

    kind: Literal["density"]
    options: dict[str, Any] = Field({}, description="of the data set")
    preparation: Preparation = Preparation()
    form: Equilibrium = Equilibrium()
    validate_every: int = Field(ge=1, description="updates; the weights of the least phantom loss are shipped")


AnyRecipe = (
    DiffusionRecipe | ClassifierRecipe | AutoencoderRecipe | LatentRecipe | OneStepRecipe | DensityRecipe | ScoreRecipe
)
Recipe = Annotated[AnyRecipe, Field(discriminator="kind")]
RECIPES: TypeAdapter[dict[str, Recipe]] = TypeAdapter(dict[Name, Recipe])
