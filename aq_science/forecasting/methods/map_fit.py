"""Linear models with normal and Laplace priors at the maximum of their posterior, many at once.

    y ~ normal(X b, sigma)
    b ~ normal(0, 1 / sqrt(precision)), or some ~ laplace(0, scale)
    sigma ~ normal(0, noise), > 0

A coefficient with a Laplace prior is a difference, `rise` less `fall`, of parts that are at least
zero, with the prior's slope as the price of both. Each round of a primal-dual interior-point method
(Nocedal and Wright (2006), "Numerical Optimization", chapter 16.6) is a ridge regression with new
weights; after it, sigma takes its best value for the residuals that are left. Measured on Prophet's
model: 10 to 20 rounds end within `GAP` of the maximum; reweighting by 1 / |b| alone is up to 0.06
below it after a hundred, since a coefficient that belongs at zero gets there by a constant factor a
round.

Nothing is summed or solved across models, so that each result is, to the bit, that of the model
alone.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aq_science.forecasting.grid import Floats

Mask = npt.NDArray[np.bool_]

GAP = 1e-6
"""What the logarithm of the posterior may lack at the end, for the sigma reached."""

VARIANCE_CHANGE = 1e-6
"""Share by which sigma's square may still change: for 1,344 readings 1e-9 of log density."""

MOST_ROUNDS = 100
"""Five times what is needed as a rule."""

LEAST_VARIANCE = 1e-10
"""Of y scaled to one. With less noise the posterior grows without bound as sigma goes to zero, and
the residuals, from sums of squares, would be rounding errors."""

_CENTRING = 0.1
_TO_THE_BOUNDARY = 0.99
"""Usual constants of the method: a round aims at a tenth of the gap, and leaves each part a
hundredth of its distance from zero."""


BLOCK = 128
"""Readings whose squares are summed in one product. OpenBLAS splits larger ones (from 150 on) among
threads: another order of adding for each number of cores, and 20 ms in place of 0.1 where these are
busy."""


class Sums(NamedTuple):
    """What a fit needs of its data, for each model: X'X, X'y, y'y and the number of readings."""

    gram: Floats
    cross: Floats
    power: Floats
    readings: Floats

    def take(self, models: Mask) -> "Sums":
        """Some of the models."""
        return Sums(*(part[models] for part in self))


class Priors(NamedTuple):
    """Of the coefficients, by their place, and of sigma."""

    precision: Floats
    """1 / variance of the normal ones, 0 for those with a Laplace prior."""
    laplace: slice
    """Places of these."""
    scale: float
    noise: float


class _Iterate(NamedTuple):
    """A round's result. A part's slack is what its price has over what it gains, in units of the
    log posterior times sigma's square; at the maximum one of the two is zero.
    """

    coefficients: Floats
    rise: Floats
    fall: Floats
    rise_slack: Floats
    fall_slack: Floats
    variance: Floats

    def take(self, models: Mask) -> "_Iterate":
        return _Iterate(*(part[models] for part in self))

    def products(self) -> Floats:
        total: Floats = (self.rise * self.rise_slack + self.fall * self.fall_slack).sum(axis=1)
        return total


def sums_of(x: Floats, y: Floats) -> Sums:
    """The sums of one model: `x` readings x coefficients, `y` readings; no NaN in either."""
    blocks = np.zeros((-(-len(y) // BLOCK), BLOCK, x.shape[1] + 1))
    rows = blocks.reshape(-1, blocks.shape[2])[: len(y)]
    rows[:, :-1], rows[:, -1] = x, y
    squares = (blocks.transpose(0, 2, 1) @ blocks).sum(axis=0)
    return Sums(squares[:-1, :-1], squares[:-1, -1], squares[-1, -1], np.array(float(len(y))))


def posterior_maxima(sums: Sums, priors: Priors) -> Floats:
    """The coefficients of each model at the maximum.

    Args:
        sums: Of y scaled to at most about one; models x coefficients x coefficients, models x
            coefficients, models, models.
        priors: The same for all models.

    Returns:
        Models x coefficients; a row of NaN where there is no maximum or the search does not end.
    """
    found = np.full(sums.cross.shape, np.nan)
    models = np.arange(len(found))
    at = _start(sums, priors)
    for _ in range(MOST_ROUNDS):
        at, settled = _round(sums, priors, at)
        bounded = at.variance > LEAST_VARIANCE
        done = settled & bounded
        found[models[done]] = at.coefficients[done]
        going = bounded & ~settled
        if not going.any():
            break
        models, sums, at = models[going], sums.take(going), at.take(going)
    return found


def _start(sums: Sums, priors: Priors) -> _Iterate:
    """All of y is noise, and every part is well away from zero."""
    variance = np.maximum(sums.power / sums.readings, LEAST_VARIANCE)
    parts = np.full((len(variance), priors.laplace.stop - priors.laplace.start), 0.1)
    slack: Floats = np.broadcast_to(variance[:, None] / priors.scale, parts.shape)
    return _Iterate(np.zeros_like(sums.cross), parts, parts, slack, slack, variance)


def _round(sums: Sums, priors: Priors, at: _Iterate) -> tuple[_Iterate, Mask]:
    """One step of each model, and whether it was its last."""
    b = priors.laplace
    centre = (_CENTRING / (2 * at.rise.shape[1]) * at.products())[:, None]
    width = at.rise / at.rise_slack + at.fall / at.fall_slack
    aim = centre / at.rise_slack - centre / at.fall_slack

    matrix, right = sums.gram.copy(), sums.cross.copy()
    diagonal = np.einsum("nii->ni", matrix)  # a view
    diagonal += at.variance[:, None] * priors.precision
    diagonal[:, b] += 1 / width
    right[:, b] += (at.rise_slack - at.fall_slack) / 2 + aim / width
    solved = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]

    turn = (aim - solved[:, b]) / width
    steps = (
        (at.rise, centre / at.rise_slack - at.rise - at.rise * turn / at.rise_slack),
        (at.fall, centre / at.fall_slack - at.fall + at.fall * turn / at.fall_slack),
        (at.rise_slack, turn),
        (at.fall_slack, -turn),
    )
    over = np.max([(-step / value).max(axis=1) for value, step in steps], axis=0)
    length = (1 / np.maximum(1, over / _TO_THE_BOUNDARY))[:, None]
    rise, fall, rise_slack, fall_slack = (value + length * step for value, step in steps)
    coefficients = at.coefficients + length * (solved - at.coefficients)
    coefficients[:, b] = rise - fall

    variance = _variance(sums, priors, coefficients)
    # The slacks are a share of the price, which is the variance over the prior's scale.
    grown = (variance / at.variance)[:, None]
    made = _Iterate(coefficients, rise, fall, rise_slack * grown, fall_slack * grown, variance)
    with np.errstate(divide="ignore", invalid="ignore"):  # without noise: no maximum
        gap = made.products() / variance
    settled = (gap < GAP) & (np.abs(grown[:, 0] - 1) < VARIANCE_CHANGE)
    return made, settled


def _variance(sums: Sums, priors: Priors, coefficients: Floats) -> Floats:
    """The best square of sigma, the root of its quadratic equation."""
    fitted = (sums.gram @ coefficients[:, :, None])[:, :, 0]
    squares = sums.power + (coefficients * (fitted - 2 * sums.cross)).sum(axis=1)
    squares = np.maximum(squares, 0)
    root = np.sqrt(sums.readings**2 + 4 * squares / priors.noise**2)
    variance: Floats = 2 * squares / (sums.readings + root)
    return variance
