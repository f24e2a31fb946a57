"""Keys in the spectrum of x_T: what marks, what tells keys apart, and how sure one can be."""

import numpy as np
import pytest
import torch
from scipy import stats

from deqbench.decoder_inversion import tree_rings
from deqbench.errors import UserError

SHAPE = (4, 8, 8)
WHICH = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.fixture
def known() -> torch.Tensor:
    return tree_rings.keys(0, 3, SHAPE, 3)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_rings_are_disks_within_disks() -> None:
    ring = tree_rings.ring_of(8, 3)
    rows, columns = np.mgrid[:8, :8] - 4
    for radius in (1, 2, 3):  # the released code's circle_mask, of growing radius
        assert torch.equal((ring > 0) & (ring <= radius), torch.from_numpy(rows**2 + columns**2 <= radius**2))


@pytest.mark.parametrize("radius", [0, 4])
def test_a_ring_must_lie_within_the_grid(radius: int) -> None:
    with pytest.raises(UserError, match="expected 1 to 3"):
        tree_rings.keys(0, 1, SHAPE, radius)


def test_both_forms_of_keys_mark_noise_as_strongly() -> None:
    power = [tree_rings.keys(0, 400, SHAPE, 3, symmetric=form).real.square().nanmean() for form in (True, False)]
    torch.testing.assert_close(power, [torch.tensor(0.5, dtype=torch.float64)] * 2, rtol=0.1, atol=0)


def test_keys_differ_and_are_repeatable() -> None:
    many = tree_rings.keys(0, 400, SHAPE, 3)
    torch.testing.assert_close(many[:3], tree_rings.keys(0, 3, SHAPE, 3), equal_nan=True)
    assert torch.pdist(torch.view_as_real(many[:20]).nan_to_num().flatten(1)).min() > 0.5


def test_a_symmetric_key_is_held_by_real_noise(known: torch.Tensor, noise: torch.Tensor) -> None:
    measured = tree_rings.marked(noise.double(), known[WHICH])
    inside = ~known[WHICH].isnan()
    torch.testing.assert_close(tree_rings.spectrum(measured)[inside], known[WHICH][inside], rtol=0, atol=1e-12)
    untouched = ~inside
    torch.testing.assert_close(tree_rings.spectrum(measured)[untouched], tree_rings.spectrum(noise)[untouched])
    distance = tree_rings.distances(measured, known)
    assert distance[range(6), WHICH].max() < 1e-12
    assert torch.equal(tree_rings.classified(measured.float(), known), WHICH)


def test_a_complex_key_loses_its_imaginary_part(noise: torch.Tensor) -> None:
    known = tree_rings.keys(0, 3, SHAPE, 3, symmetric=False)
    measured = tree_rings.spectrum(tree_rings.marked(noise.double(), known[WHICH]))
    inside = ~known[WHICH].isnan()
    torch.testing.assert_close(measured[inside].real, known[WHICH][inside].real)
    assert measured[inside].imag.abs().max() < 1e-12 < known[WHICH][inside].imag.abs().min()


def test_what_is_not_finite_has_no_key(known: torch.Tensor, noise: torch.Tensor) -> None:
    measured = tree_rings.marked(noise, known[WHICH])
    measured[3, 0, 0, 0] = float("nan")
    assert tree_rings.classified(measured, known).tolist() == [0, 1, 2, -1, 1, 0]


def test_coordinates_of_real_noise_are_independent_and_normal(known: torch.Tensor) -> None:
    noise = torch.randn(4000, *SHAPE, generator=torch.Generator().manual_seed(2))
    outside = known[0].isnan()
    measured = tree_rings.coordinates(tree_rings.spectrum(noise).masked_fill(outside, complex("nan")))
    measured = measured[:, ~measured[0].isnan()]
    assert measured.shape[1] == 4 * 29  # as many as coefficients: half of them, with two parts each, and the middle
    covariance = torch.cov(measured.T)
    torch.testing.assert_close(covariance, torch.eye(116, dtype=torch.float64), rtol=0, atol=0.1)


def test_p_values_are_scipys_and_promise_no_more_than_they_keep(known: torch.Tensor) -> None:
    noise = torch.randn(600, *SHAPE, generator=torch.Generator().manual_seed(3))
    measured = tree_rings.p_values(noise, known[:1].expand(600, -1, -1, -1))
    for level in (0.01, 0.05, 0.2):  # no more false alarms than chance allows for
        assert stats.binomtest(int((measured < level).sum()), 600, level, "greater").pvalue > 0.01
    assert measured.min() < 0.1 and measured.max() > 0.9 and abs(np.median(measured) - 0.5) < 0.1
    one = tree_rings.spectrum(noise[0]).numpy()[~known[0].isnan().numpy()]
    key = known[0].numpy()[~known[0].isnan().numpy()]
    independent = tree_rings.coordinates(tree_rings.spectrum(noise[:1]).where(~known[0].isnan(), complex("nan")))
    variance = float(independent[~independent.isnan()].var())
    # summed over both of each pair, the squares are those of the independent coordinates
    squared, power = (np.square(np.abs(values)).sum() / variance for values in (one - key, key))
    assert measured[0] == pytest.approx(stats.ncx2.cdf(squared, 116, power), rel=1e-8)


def test_marked_noise_has_tiny_p_values(known: torch.Tensor, noise: torch.Tensor) -> None:
    measured = tree_rings.marked(noise, known[WHICH]) + 0.3 * noise.flip(0)
    assert tree_rings.p_values(measured, known[WHICH]).max() < 1e-6
