"""Known densities: their logarithm is right by other people's code and by integration, and rows are drawn from it."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch

from deqbench.data import datasets, densities

PLANE = [
    {"name": "mixture", "noise": 0.2},
    {"name": "mixture", "noise": 0.05},
    {"name": "moons", "noise": 0.1},
    {"name": "rings", "noise": 0.1},
    {"name": "rings", "noise": 0.3},
    {"name": "checkerboard"},
]
each_density = pytest.mark.parametrize("options", PLANE, ids=lambda options: "-".join(map(str, options.values())))


def built(options, **more) -> datasets.Dataset:
    source = "density" if "name" in options else "gaussian"
    return datasets.build(source, **options, **more)


def density(options, x: np.ndarray) -> np.ndarray:
    about = built(options, train=1, tuning=1, test=1).about
    return densities.log_density(about, torch.from_numpy(x)).exp().numpy()


@each_density
def test_a_density_of_the_plane_integrates_to_one(options):
    """The trapezoid rule on a grid finer than the noise is exact far beyond the tolerance for smooth densities."""
    step = 0.025 if options.get("noise") == 0.05 else 0.05
    axis = np.arange(-4.5 + step / 2, 4.5, step)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert density(options, grid).sum() * step**2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_rings_are_the_closed_form_with_a_bessel_function(noise):
    """A circle of radius r under isotropic noise: the length of a row is Rice distributed, its angle uniform."""
    x = np.random.RandomState(0).randn(200, 2) * 1.5
    rho = np.hypot(*x.T)
    rice = sum(scipy.stats.rice.pdf(rho, radius / noise, scale=noise) / 2 for radius in (1, 2))
    np.testing.assert_allclose(density({"name": "rings", "noise": noise}, x), rice / (2 * math.pi * rho), rtol=1e-10)


def test_moons_are_the_integral_along_two_half_circles():
    noise = 0.1

    def along(angle: float, point: np.ndarray) -> float:
        upper = np.array([math.cos(angle), math.sin(angle)])
        squares = [np.square(point - place).sum() for place in (upper, np.array([1, 0.5]) - upper)]
        return sum(math.exp(-square / (2 * noise**2)) for square in squares) / (4 * math.pi**2 * noise**2)

    x = np.array([[0.0, 1.0], [1.0, -0.5], [0.5, 0.25], [-1.05, -0.1], [2.0, 0.6]])
    expected = [scipy.integrate.quad(along, 0, math.pi, args=(point,), limit=500, epsabs=0)[0] for point in x]
    np.testing.assert_allclose(density({"name": "moons", "noise": noise}, x), expected, rtol=1e-9)


def test_a_mixture_is_eight_gaussians_on_a_circle():
    x = np.random.RandomState(0).randn(50, 2)
    centres = 2 * np.stack([np.cos(np.arange(8) * math.pi / 4), np.sin(np.arange(8) * math.pi / 4)], 1)
    expected = np.mean([scipy.stats.multivariate_normal(centre, 0.04).pdf(x) for centre in centres], 0)
    np.testing.assert_allclose(density({"name": "mixture", "noise": 0.2}, x), expected, rtol=1e-10)


@pytest.mark.parametrize(("dimensions", "condition"), [(1, 1), (3, 1), (5, 100)])
def test_a_gaussian_s_logarithm_is_scipy_s_and_its_condition_the_one_asked_for(dimensions, condition):
    options = {"dimensions": dimensions, "condition": condition}
    c = densities.covariance(dimensions, condition).numpy()
    assert np.linalg.cond(c) == pytest.approx(condition)
    x = np.random.RandomState(0).randn(20, dimensions)
    expected = scipy.stats.multivariate_normal(np.zeros(dimensions), c).pdf(x)
    np.testing.assert_allclose(density(options, x), expected, rtol=1e-10)


@pytest.mark.parametrize("condition", [1, 30])
def test_a_gaussian_s_rows_have_its_covariance(condition):
    """The entries of the sample covariance lie within five of their standard errors."""
    found = built({"dimensions": 4, "condition": condition}, train=20_000)
    c = densities.covariance(4, condition)
    error = ((c.square() + torch.outer(c.diag(), c.diag())) / len(found.train)).sqrt()
    assert ((found.train.T.cov(correction=0).double() - c).abs() < 5 * error).all()
    assert (found.train.mean(0).double().abs() < 5 * (c.diag() / len(found.train)).sqrt()).all()


@each_density
def test_rows_fall_into_the_squares_of_a_grid_as_often_as_the_density_says(options):
    """Chi-squared over 15 x 15 squares, those of fewer than ten expected rows together; alpha 1e-4."""
    rows, edges, fine = built(options, train=20_000).train.numpy(), np.linspace(-3, 3, 16), 10
    counts = np.histogram2d(*rows.T, bins=[edges, edges])[0].ravel()
    axis = -3 + 6 * (np.arange(15 * fine) + 0.5) / (15 * fine)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    cells = density(options, np.stack([x, y], -1).reshape(-1, 2)).reshape(15, fine, 15, fine).sum((1, 3)).ravel()
    expected = cells * (6 / (15 * fine)) ** 2 * len(rows)
    many = expected >= 10
    pairs = [np.append(values[many], len(rows) - values[many].sum()) for values in (counts, expected)]
    if pairs[1][-1] < 1:  # nothing is expected elsewhere
        assert pairs[0][-1] <= 5
        pairs = [values[:-1] * (len(rows) / values[:-1].sum()) for values in pairs]
    assert scipy.stats.chisquare(*pairs).pvalue > 1e-4


def test_a_checkerboard_is_nothing_off_its_squares():
    found = densities.log_density({"density": "checkerboard"}, torch.tensor([[1.0, 1.0], [1.0, 3.0], [5.0, 1.0]]))
    assert found.tolist() == [-math.log(32), -math.inf, -math.inf]
    rows = built({"name": "checkerboard"}).train
    assert densities.log_density({"density": "checkerboard"}, rows).isfinite().all()


@pytest.mark.parametrize("options", [*PLANE[:1], {"dimensions": 3}])
def test_rows_differ_between_splits_and_seeds_and_are_the_same_again(options):
    one, again, other = (built(options, seed=seed, test=500) for seed in (0, 0, 1))
    assert torch.equal(one.test, again.test) and not torch.equal(one.test, other.test)
    assert not torch.equal(one.tuning, one.test)
    everything = torch.cat([one.train, one.tuning, one.test, other.train, other.tuning, other.test])
    assert len({tuple(row) for row in everything.tolist()}) == len(everything)
    assert one.kind == "density" and one.train.dtype == torch.float32
