import numpy as np
import torch

from deqbench.metrics.errors import relative_error


def test_the_relative_error_is_that_of_each_image_by_itself_in_float64():
    exact = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([1.0, 1e-3, 3.0])
    found = exact * (1 + scale.view(-1, 1, 1, 1))
    pairs = [(f.double().numpy(), e.double().numpy()) for f, e in zip(found, exact, strict=True)]
    by_hand = [np.linalg.norm(f - e) / np.linalg.norm(e) for f, e in pairs]
    errors = relative_error(found, exact)
    assert errors.dtype == torch.float64
    np.testing.assert_allclose(errors, by_hand, rtol=1e-12)
    np.testing.assert_allclose(errors, scale, rtol=1e-3)
