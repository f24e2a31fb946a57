"""Predictions against sums done by hand, on curves with known shape."""

import pytest

from deqbench.measure.cost import CostCurve, Profile, measure, plan

AFFINE = CostCurve((1, 10, 100), (0.011, 0.020, 0.110), max_batch=100)  # 10 ms a call and 1 ms an image


@pytest.mark.parametrize("images", [1, 4, 10, 55, 100])
def test_between_measured_sizes_the_curve_is_linear(images):
    assert AFFINE(images) == pytest.approx(0.010 + 0.001 * images)


def test_larger_calls_are_split():
    assert AFFINE(250) == pytest.approx(2 * 0.110 + 0.060)
    assert AFFINE(200) == pytest.approx(2 * 0.110)


def test_beyond_the_last_size_it_goes_on_as_before():
    curve = CostCurve((1, 10), (0.011, 0.020), max_batch=1000)
    assert curve(110) == pytest.approx(0.120)


def test_a_profile_adds_up_its_calls_and_its_own_time():
    profile = Profile(((10, 100), (10,)), overhead_s=0.5)
    assert profile.predicted(AFFINE) == pytest.approx((0.020 + 0.110 + 0.020) / 2 + 0.5)


def test_a_flatter_device_takes_so_many_images_for_one():
    flat = AFFINE.flatter(64)
    assert flat(1) == flat(64) == AFFINE(1)
    assert flat(128) == pytest.approx(2 * AFFINE(1))
    assert flat(640) == pytest.approx(10 * AFFINE(1))


def test_the_plan_is_the_fastest_and_says_when_that_is_no_parallel_method():
    profiles = {
        "ddim": Profile(((1,) * 20,), 0.0),
        "wide": Profile(((100,) * 5,), 0.0),
        "narrow": Profile(((10,) * 12,), 0.0),
    }
    made = plan(profiles, AFFINE, "ddim")
    assert made.predicted == pytest.approx({"ddim": 0.22, "wide": 0.55, "narrow": 0.24})
    assert (made.method, made.fallback, made.forced) == ("ddim", True, "narrow")
    made = plan(profiles, AFFINE.flatter(128), "ddim")
    assert (made.method, made.fallback, made.forced) == ("wide", False, "wide")


def test_a_plan_needs_something_to_choose_from():
    with pytest.raises(ValueError, match="expected 'ddim' and another method; found ddim"):
        plan({"ddim": Profile(((1,),), 0.0)}, AFFINE, "ddim")


def test_measuring_takes_medians_in_turns(monkeypatch):
    clock = [0.0]
    order = []

    def call(size):
        order.append(size)
        clock[0] += 0.01 + 0.001 * size + (5.0 if len(order) <= 3 else 0.0)  # the warm-up is slow

    monkeypatch.setattr("deqbench.measure.clock.time.perf_counter", lambda: clock[0])
    curve = measure(call, [4, 900], max_batch=16, repeats=3)
    assert order == [1, 4, 16] * 4
    assert curve.seconds == pytest.approx((0.011, 0.014, 0.026))
