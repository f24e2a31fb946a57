"""Inversion of a latent-diffusion decoder: z with D(z) = x, without gradients and with."""

CPU_PICTURES = (
    8  # what these leave stays in a CPU's cache: gradients of 24 images of 64 px take 0.7 of the time at once
)


def at_once(device: str, most: int = 64) -> int:
    """Pictures in one call of an autoencoder on a device: `most`, fewer on a CPU."""
    return min(most, CPU_PICTURES) if device == "cpu" else most
