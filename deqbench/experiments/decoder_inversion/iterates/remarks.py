"""Remarks 1 and 2 of the paper, tested: exact preimages, and linear autoencoders. Source: sections 3.1 and 3.2."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec, quantised
from deqbench.experiments.decoder_inversion.target_files import Targets
from deqbench.experiments.rows import Row, of_images


@torch.no_grad()
def preimages(vae: Any, targets: Targets, generator: torch.Generator, max_batch: int) -> Iterator[Row]:
    """Rows of Remark 1: ||E(x) - E(D(z))|| / ||E(x)|| at the true z, which is 0 where x = D(z) and E is a function.

    Methods: `exact`; `8-bit`, x cut and rounded as files are; `sampled`, E drawing from its posterior (where it has
    one). And of Remark 2 beside the linear case: `autoencoder`, ||E(D(z)) - z|| / ||z||.
    """
    codec = Codec(vae, max_batch=max_batch)
    again = codec.encode_decode(targets.z)
    gaps = {
        "exact": _relative(codec.encode(targets.x), again),
        "8-bit": _relative(codec.encode(quantised(targets.x)), again),
    }
    if hasattr(vae, "quant_conv"):  # AutoencoderTiny has no posterior
        sampling = Codec(vae, posterior=generator, max_batch=max_batch)
        gaps["sampled"] = _relative(sampling.encode(targets.x), sampling.encode_decode(targets.z))
    for method, values in gaps.items():
        yield from of_images({"preimage_gap": values}, method=method)
    yield from of_images({"identity_gap": _relative(targets.z, again)}, method="autoencoder")


def _relative(reference: Tensor, other: Tensor) -> Tensor:
    """(B,) float64, ||reference - other|| / ||reference||."""
    return (reference.double() - other.double()).flatten(1).norm(dim=1) / reference.double().flatten(1).norm(dim=1)


def trained(covariance: Tensor, size: int, generator: torch.Generator, steps: int = 500) -> tuple[Tensor, Tensor]:
    """E (F, N) and D (N, F), float64, that minimise the mean of ||x - D E x||^2 by L-BFGS from a random start.

    covariance: (N, N) float64, E[x x^T]; size: F.
    """
    n = len(covariance)
    E = (torch.randn(size, n, generator=generator, dtype=torch.float64) / n**0.5).requires_grad_()
    D = (torch.randn(n, size, generator=generator, dtype=torch.float64) / n**0.5).requires_grad_()
    descent = torch.optim.LBFGS(
        [E, D], max_iter=steps, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        descent.zero_grad()
        value = mean_error(covariance, E, D)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    descent.step(loss)
    return E.detach(), D.detach()


def mean_error(covariance: Tensor, E: Tensor, D: Tensor) -> Tensor:
    """The mean of ||x - D E x||^2 over x of that second moment (N, N): a scalar."""
    left = torch.eye(len(covariance), dtype=covariance.dtype) - D @ E
    return (left @ covariance * left).sum()


def linear(generator: torch.Generator, *, pixels: int = 12, size: int = 4, runs: int = 5) -> Iterator[Row]:
    """Rows of Remark 2: autoencoders of linear data with distinct eigenvalues, trained, and by principal components.

    identity_gap: ||E D - I||_F / sqrt(F); loss_excess: the mean error over the least possible one, the sum of the
    eigenvalues left out, minus 1; projector_gap: ||D E - P||_F / sqrt(F) to the projector P on the F largest.
    """
    for run in range(runs):
        basis = torch.linalg.qr(torch.randn(pixels, pixels, generator=generator, dtype=torch.float64)).Q
        values = torch.linspace(1.0, 0.1, pixels, dtype=torch.float64)
        covariance = basis * values @ basis.T
        top = basis[:, :size]
        for method, (E, D) in {
            "linear-components": (top.T, top),
            "linear-trained": trained(covariance, size, generator),
        }.items():
            identity = torch.eye(size, dtype=torch.float64)
            measures = {
                "identity_gap": (E @ D - identity).norm() / size**0.5,
                "projector_gap": (D @ E - top @ top.T).norm() / size**0.5,
                "loss_excess": (mean_error(covariance, E, D) / values[size:].sum() - 1).abs(),
            }
            for metric, value in measures.items():
                yield {"method": method, "image": run, "metric": metric, "value": float(value), "unit": ""}
