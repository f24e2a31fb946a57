"""DDIM encoding: the chain walked backwards, one evaluation a step. Source: DDIM, section 5.4."""

from collections.abc import Iterator

from torch import Tensor

from deqbench.diffusion.chain import DDIMChain
from deqbench.diffusion.inverted import Update, encode, finite


def invert(chain: DDIMChain, target: Tensor) -> Iterator[Update]:
    """The x_T that the chain's reverse ends in; chain.x_T plays no part. It has nothing to converge to: `max_iter`."""
    yield Update(x_T=chain.x_T.to(target))
    x_T = encode(chain, target)
    yield Update(x_T=x_T, calls=chain.steps, nfe=chain.steps, lost=~finite(x_T))
