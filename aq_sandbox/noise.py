"""Random numbers by counter: the same (stream, index) always gives the same number.

Nothing here keeps a state, so a value for one hour costs the same, and is the same, whatever other
hours are asked for with it. An index is a whole number: an hour, a week or a year since the epoch.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


@lru_cache(maxsize=65_536)
def stream(*parts: str | int) -> int:
    """A 64-bit stream number for a name such as (seed, station, "wind")."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def chance(*parts: str | int) -> float:
    """One number in [0, 1) for a name: a fixed trait of a station, say."""
    return stream(*parts, "chance") / 2**64


def _bits(source: int, index: Ints) -> NDArray[np.uint64]:
    """Splitmix64 of the counters: 64 well-mixed bits an index."""
    z = index.astype(np.uint64)  # negative hours (before 1970) wrap, which is as good
    z = (z + np.uint64(1)) * np.uint64(_GOLDEN) + np.uint64(source)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(source: int, index: Ints) -> Floats:
    """Numbers in [0, 1)."""
    return (_bits(source, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(source: int, index: Ints) -> Floats:
    """Numbers of mean 0 and variance 1, nearly normal (a sum of four, so within 3.5)."""
    quarters = _bits(source, index).view(np.uint16).reshape(-1, 4)
    total: Floats = quarters.sum(axis=1, dtype=np.float64)
    return np.asarray((total * 2.0**-16 - 2.0) * np.sqrt(3.0))


def smooth(source: int, hours: Ints, period: float) -> Floats:
    """Value noise: a curve of mean 0 and variance 1.

    Between two lattice points the curve is their smooth mix, scaled so that its variance is 1
    everywhere.

    Args:
        source: another one gives another curve.
        hours: hours since the epoch, ascending, shape (n,).
        period: hours over about which the curve changes.

    Returns:
        The curve at the hours, shape (n,).
    """
    position = hours / period + (source & 0xFFFF) / 0x10000
    cell = np.floor(position)
    step = position - cell
    step *= step * (3.0 - 2.0 * step)
    left = cell.astype(np.int64)
    first = int(left[0])
    lattice = normal(source, np.arange(first, int(left[-1]) + 2))
    left -= first
    rest = 1.0 - step
    mix: Floats = lattice[left] * rest + lattice[left + 1] * step
    return mix / np.sqrt(step * step + rest * rest)


def layered(source: int, hours: Ints, layers: Mapping[float, float]) -> Floats:
    """A weighted sum of smooth curves.

    Args:
        source: another one gives other curves.
        hours: hours since the epoch, ascending, shape (n,).
        layers: weight by period in hours.

    Returns:
        The sum at the hours, shape (n,).
    """
    total = np.zeros(hours.size)
    for number, (period, weight) in enumerate(layers.items(), start=1):
        total += weight * smooth((source + number * _GOLDEN) & _MASK, hours, period)
    return total
