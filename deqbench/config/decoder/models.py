"""What is inverted: a latent model and its autoencoder, and the methods that invert the decoder."""

from typing import Any, Literal

from pydantic import Field, model_validator

from deqbench.config.strict import Name, Strict

Precision = Literal["fp32", "bf16", "fp16"]


class Model(Strict):
    """An autoencoder, and where the latents come from whose images are inverted."""

    autoencoder: Name = Field(description="a network of the config, in diffusers' format")
    targets: Literal["diffusion", "one-step", "codes"] = Field(
        description="latents of a guided DDIM chain, of a one-step generator, or codes of test images"
    )
    denoiser: Name | None = Field(None, description="the network that makes the latents; none for codes")
    guidance: float = Field(1.0, ge=0, description="classifier-free guidance scale")
    steps: int = Field(50, ge=1, le=1000, description="DDIM steps")
    images: Literal["patches", "digits", "tissue", "cifar10", "folder"] = Field(
        "patches", description="data set whose images are encoded, for codes"
    )
    options: dict[str, str | int] = Field({}, description="options of that data set, such as root")
    noise: float = Field(0.0, ge=0, description="standard deviation of normal noise added to codes")
    frames: int = Field(1, ge=1, description="frames of one video: latents along a path between two x_T")
    quantised: bool = Field(True, description="images cut and rounded to 8 bit before they are inverted")
    tuning: int = Field(8, ge=1, description="targets that settings are chosen on")
    test: int = Field(24, ge=2, description="targets that results are reported on")
    stands_in_for: str | None = Field(None, description="the printed model that this one stands in for")
    printed_as: str | None = Field(None, description="the printed model that this one is")

    @model_validator(mode="after")
    def _fits(self) -> "Model":
        if (self.denoiser is None) != (self.targets == "codes"):
            raise ValueError(f"expected a denoiser with targets other than codes, and only then; found {self.denoiser}")
        return self


class DecoderInverter(Strict):
    """A way to invert the decoder, with its settings."""

    inverter: str = Field(description="a module of deqbench.decoder_inversion.inverters, or package.module:function")
    preset: Name | None = Field(None, description="named settings of the paper or of its released code")
    precision: Precision = Field("fp32", description="of the network")
    state: Precision = Field("fp32", description="of the latents and of the optimiser's state")
    released: bool = Field(False, description="E draws from its posterior, and the network is copied at every call")
    options: dict[str, Any] = Field({}, description="settings of the inverter, over those of the preset")
    rates: list[float] = Field([], description="values of `rate` tried on tuning targets; none: the options' own")
    rate: str = Field("lr", description="the option that `rates` are values of")
