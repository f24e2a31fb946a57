import numpy as np
import pytest
import scipy.stats

from deqbench.metrics import frechet, intervals


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((4000, 3))
    cloud -= cloud.mean(0)
    cloud = cloud @ np.linalg.inv(np.linalg.cholesky(np.cov(cloud, rowvar=False))).T  # mean 0, covariance I exactly
    shifted = cloud * np.array([1.0, 2.0, 3.0]) + np.array([1.0, 0.0, 2.0])
    closed = 1 + 4 + (2 - 1) ** 2 + (3 - 1) ** 2
    assert frechet.frechet(shifted, frechet.moments(cloud)) == pytest.approx(closed, rel=1e-6)
    assert frechet.frechet(cloud, frechet.moments(cloud)) == pytest.approx(0, abs=1e-8)


def test_the_kernel_distance_is_unbiased_and_the_double_sum():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((40, 4)) + 0.3

    def kernel(a, b):
        return (a @ b / 4 + 1) ** 3

    xx = np.mean([kernel(x[i], x[j]) for i in range(30) for j in range(30) if i != j])
    yy = np.mean([kernel(y[i], y[j]) for i in range(40) for j in range(40) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    assert frechet.kernel_distance(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-10)
    same = [frechet.kernel_distance(rng.standard_normal((60, 4)), rng.standard_normal((60, 4))) for _ in range(200)]
    assert abs(scipy.stats.ttest_1samp(same, 0).statistic) < 4


def test_the_jackknife_of_a_mean_is_the_standard_error_over_blocks():
    values = np.random.default_rng(2).standard_normal(100)
    value, low, high = frechet.jackknife(lambda kept: values[kept].mean(), 100)
    blocks = values.reshape(20, 5).mean(1)
    reach = scipy.stats.t.ppf(0.975, 19) * blocks.std(ddof=1) / np.sqrt(20)
    assert value == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(value - reach), pytest.approx(value + reach))
    with pytest.raises(ValueError, match="at least 40"):
        frechet.jackknife(lambda kept: 0.0, 39)


def test_the_nearest_neighbour_is_the_nearest():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((5, 7)), rng.standard_normal((50, 7))
    by_hand = np.sqrt(((x[:, None] - y[None]) ** 2).mean(2)).min(1)
    np.testing.assert_allclose(frechet.nearest(x, y), by_hand)


@pytest.mark.parametrize(
    ("interval", "draw", "truth"),
    [
        (intervals.t_interval, lambda rng: rng.normal(2.0, 1.0, 12), 2.0),
        (intervals.log_interval, lambda rng: np.exp(rng.normal(0.5, 0.4, 8)), np.exp(0.5)),
        (intervals.median_interval, lambda rng: rng.exponential(1.0, 25), np.log(2)),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(interval, draw, truth):
    rng = np.random.default_rng(4)
    covered = [low <= truth <= high for low, high in (interval(draw(rng)) for _ in range(400))]
    assert 0.91 <= np.mean(covered) <= 0.995


def test_wilsons_interval_is_the_textbook_formula():
    n, k, z = 20, 17, scipy.stats.norm.ppf(0.975)
    centre = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(k / n * (1 - k / n) / n + z**2 / (4 * n**2))
    assert intervals.wilson(k, n) == (pytest.approx(centre - reach), pytest.approx(centre + reach))


def test_too_few_values_have_no_interval_and_a_ratio_of_negatives_is_refused():
    assert np.isnan(intervals.t_interval([1.0])).all()
    assert np.isnan(intervals.median_interval([1.0, 2.0, 3.0])).all()
    with pytest.raises(ValueError, match="difference"):
        intervals.log_interval([1.0, -1.0])
