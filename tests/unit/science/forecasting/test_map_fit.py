"""The coefficients are where the posterior's slopes say they must be, and each model is alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aq_science.forecasting.grid import Floats
from aq_science.forecasting.methods.map_fit import (
    BLOCK,
    Priors,
    Sums,
    posterior_maxima,
    sums_of,
)

NORMAL, LAPLACE = 2, 3
PRIORS = Priors(
    np.array([0.04] * NORMAL + [0.0] * LAPLACE), slice(NORMAL, NORMAL + LAPLACE), 0.05, 0.5
)
SEEDS = st.integers(0, 2**32 - 1)


def model(seed: int, noise: float = 0.1) -> tuple[Floats, Floats]:
    """A design and readings of at most about one, with some coefficients that belong at zero."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rng.integers(30, 400), NORMAL + LAPLACE))
    y = x @ (rng.normal(size=NORMAL + LAPLACE) * rng.integers(0, 2, NORMAL + LAPLACE))
    y += noise * rng.normal(size=len(y))
    return x, y / max(1.0, np.abs(y).max())


def stacked(*models: tuple[Floats, Floats]) -> Sums:
    parts = [sums_of(x, y) for x, y in models]
    return Sums(*(np.stack(part) for part in zip(*parts, strict=True)))


@given(SEEDS, st.floats(0.01, 2))
def test_no_slope_is_left_at_the_maximum(seed: int, noise: float) -> None:
    x, y = model(seed, noise)
    [b] = posterior_maxima(stacked((x, y)), PRIORS)
    residual = y - x @ b
    squares = residual @ residual
    # d/dsigma of n log sigma + squares / 2 sigma^2 + sigma^2 / 2 noise^2 is zero at one sigma > 0.
    roots = np.roots([1 / PRIORS.noise**2, len(y), -squares])
    [variance] = roots[roots > 0]
    slope = x.T @ residual / variance
    size = np.linalg.norm(x, axis=0) * np.linalg.norm(y) / variance
    normal, laplace = slice(NORMAL), PRIORS.laplace
    np.testing.assert_allclose(slope[normal], 0.04 * b[normal], atol=1e-5 * size[normal].max())
    price = 1 / PRIORS.scale
    assert (np.abs(slope[laplace]) < price + 1e-5 * size[laplace]).all()
    away = np.abs(b[laplace]) > 1e-4
    np.testing.assert_allclose(
        slope[laplace][away],
        price * np.sign(b[laplace][away]),
        atol=1e-5 * size[laplace].max(),
    )


def test_a_coefficient_too_small_for_its_price_is_zero() -> None:
    """The Laplace prior's mark: with unit design, |x'y| / variance is less than 1 / scale."""
    rng = np.random.default_rng(1)
    x = np.zeros((200, NORMAL + LAPLACE))
    x[:, NORMAL], x[:, NORMAL + 1] = np.ones(200), np.tile([1.0, -1.0], 100)
    y = 0.4 * x[:, NORMAL] + rng.normal(0, 0.5, 200)
    [b] = posterior_maxima(stacked((x, y)), PRIORS)
    assert 0.2 < b[NORMAL] < 0.4
    np.testing.assert_allclose(np.delete(b, NORMAL), 0, atol=1e-6)


@given(SEEDS, st.integers(1, 6))
def test_each_model_is_to_the_bit_what_it_is_alone(seed: int, others: int) -> None:
    models = [model(seed + n, 10.0 ** -(n % 4)) for n in range(others + 1)]
    together = posterior_maxima(stacked(*models), PRIORS)
    for row, one in zip(together, models, strict=True):
        np.testing.assert_array_equal(row, posterior_maxima(stacked(one), PRIORS)[0])


@given(SEEDS)
def test_upside_down_is_upside_down(seed: int) -> None:
    x, y = model(seed)
    up, down = posterior_maxima(stacked((x, y), (x, -y)), PRIORS)
    np.testing.assert_array_equal(down, -up)


def test_without_noise_there_is_no_maximum_and_the_others_have_theirs() -> None:
    x, y = model(3)
    exact = x @ np.full(x.shape[1], 0.1)
    lost, found = posterior_maxima(stacked((x, exact), (x, y)), PRIORS)
    assert np.isnan(lost).all()
    np.testing.assert_array_equal(found, posterior_maxima(stacked((x, y)), PRIORS)[0])


def test_sums_are_those_of_all_readings() -> None:
    rng = np.random.default_rng(2)
    for n in (1, BLOCK - 1, BLOCK, 2 * BLOCK + 5):
        x, y = rng.normal(size=(n, 3)), rng.normal(size=n)
        sums = sums_of(x, y)
        np.testing.assert_allclose(sums.gram, x.T @ x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(sums.cross, x.T @ y, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(sums.power, y @ y)
        assert sums.readings == n
