"""Ours: encoder steps through the image's own limits, mixed so that the linearised squared pixel error is least.

Two changes to the forward step method, all without gradients. An image file holds nothing beyond [-1, 1], so that
D(z) is cut there too before it is compared: E(cut(D(z))) = E(x) has the true z for a solution even where the decoder
overshoots, and pixels that are cut pull nowhere. The last m iterates are mixed, image by image, with the weights of
sum 1 that make the squared error of the mixed images least, damped by a ridge towards the latest: a Gauss-Newton step
in the span of the encoder's steps, for what a step moves in pixels is known from its iterates.
"""

from collections import deque

import torch
from torch import Tensor

from deqbench.decoder_inversion.codec import Codec
from deqbench.decoder_inversion.inverters import OnStep, Step
from deqbench.decoder_inversion.residual import told

Window = deque[tuple[Tensor, Tensor, Tensor]]  # of iterates: z, D(z) as compared, and the encoder's step from there


@torch.no_grad()
def invert(
    codec: Codec,
    x: Tensor,
    z: Tensor | None,
    *,
    iterations: int,
    on_step: OnStep | None = None,
    m: int = 6,
    rho: float = 1.0,
    ridge: float = 0.001,
    cut: bool = True,
) -> Tensor:
    """The z after `iterations`, each one D and one E.

    m: iterates mixed; 1 leaves forward steps of size rho. ridge: share of the differences' squared lengths added to
    them. cut: whether images are taken to be cut to [-1, 1]; where x itself goes beyond they are not.
    """
    if m < 1 or not rho > 0 or not ridge >= 0:
        raise ValueError(f"m, rho, ridge: expected at least 1, more than 0 and at least 0; found {m}, {rho}, {ridge}")
    code = codec.encode(x)
    z = code.clone() if z is None else z.to(codec.state).clone()
    limit = 1.0 if cut and float(x.abs().max()) <= 1 else float("inf")
    window: Window = deque(maxlen=m)
    for k in range(iterations):
        image = codec.decode(z).clamp(-limit, limit)
        step = codec.encode(image).sub_(code).mul_(-rho)
        error = (image - x).float().square().flatten(1).sum(1)
        if told(on_step, Step(k, z, loss=error if limit == float("inf") else None)):
            return z
        window.append((z, image, step))
        z = mixed(window, x, ridge)
    told(on_step, Step(iterations, z))
    return z


def mixed(window: Window, x: Tensor, ridge: float) -> Tensor:
    """The mix of the window's iterates and steps, (B, c, h, w), with each image's own weights."""
    z, image, step = window[-1]
    if len(window) == 1:
        return z + step
    moved = torch.stack([(other - image).float().flatten(1) for _, other, _ in list(window)[:-1]], 2)  # (B, P, n)
    gram = (moved.mT @ moved).double()
    right = -(moved.mT @ (image - x).float().flatten(1)[:, :, None]).double()
    lengths = gram.diagonal(dim1=1, dim2=2)
    tiny = torch.finfo(torch.float32).tiny
    weights = torch.linalg.solve_ex(gram + torch.diag_embed(ridge * lengths + tiny), right)[0][:, :, 0]
    weights = weights.nan_to_num(0.0, 0.0, 0.0).to(z.dtype)  # an image that is not finite takes a plain step
    found = z + step
    for weight, (before, _, its_step) in zip(weights.T, window, strict=False):
        found = found + weight.view(-1, *[1] * (z.dim() - 1)) * (before + its_step - z - step)
    return found
