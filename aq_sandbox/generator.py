"""Realistic hourly readings of an AirQino station, for any station and any hour.

Random access: the value of an hour is a function of (seed, station, hour, moment of asking) alone,
never of the window asked. Fields and units are AirQino's own: CO in mg/m3, NO2, O3, PM10 and PM2.5
in µg/m3, T in °C, RH in %, "T. int." in raw counts. The levels and spreads follow a year of real
readings from Abidjan; local time there is UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import ceil, pi

import numpy as np

from aq_sandbox.noise import (
    Bools,
    Floats,
    Ints,
    chance,
    layered,
    normal,
    smooth,
    stream,
    uniform,
)

FIELDS = ("CO", "T", "T. int.", "NO2", "O3", "PM10", "PM2.5", "RH")
REVISED_AFTER_HOURS = 72
SENTINEL = -999.0

_YEAR_HOURS = 8766
_WEEK_HOURS = 168
_EPISODE_BLOCK_HOURS = 240
# Short windows are cut out of readings made for so long at once.
_BLOCK_HOURS = 32 * 24
_DECIMALS = {"CO": 6, "T": 4, "T. int.": 3, "NO2": 4, "O3": 4, "PM10": 4, "PM2.5": 4, "RH": 4}
# How much of a provisional or partial hour's error each field shows.
_ERROR_SHARE = {"T": 0.1, "T. int.": 0.1, "RH": 0.2}

# Rhythms, looked up by hour of the week (Monday 00:00 first) or of the day.
_MONDAY = 72  # the epoch's first hour was a Thursday's: 72 hours into the week
_SATURDAY_14H = 5 * 24 + 14  # the real stations' week-end outages begin here
_CLOCK = np.arange(24)
_SUN = np.cos((_CLOCK - 14) * 2 * pi / 24)
_RUSH = 0.3 + np.exp(-(((_CLOCK - 7) / 1.7) ** 2)) + np.exp(-(((_CLOCK - 19.5) / 2.2) ** 2))
_TRAFFIC = np.concatenate([np.tile(_RUSH, 5), 0.6 * _RUSH, 0.4 * _RUSH])


@dataclass(frozen=True)
class Readings:
    """Hours since the epoch, ascending, and a column a field; NaN where the sensor said nothing."""

    hours: Ints
    values: dict[str, Floats]


@dataclass(frozen=True)
class _Site:
    """What makes one station differ from the next."""

    station_id: str
    seed: int
    pm25_level: float
    co_dead: bool
    outage_share: float

    def own(self, name: str) -> int:
        return stream(self.seed, self.station_id, name)

    def shared(self, name: str) -> int:
        """Weather is common to all stations."""
        return stream(self.seed, "region", name)


@lru_cache(maxsize=4096)
def _site(station_id: str, seed: int) -> _Site:
    return _Site(
        station_id=station_id,
        seed=seed,
        pm25_level=4.5 + 6.5 * chance(seed, station_id, "level"),
        # SMART188's cell really is dead; a demo of any size should show one.
        co_dead=station_id == "283164601" or chance(seed, station_id, "co") < 0.2,
        outage_share=0.02 + 0.3 * chance(seed, station_id, "outage") ** 2,
    )


def station_hours(
    station_id: str, start: datetime, end: datetime, seed: int, now: datetime | None = None
) -> Readings:
    """The readings of the hours that begin in `[start, end)`, as published at `now`.

    Args:
        station_id: any id; it decides the place, the faults and the readings.
        start: first moment, UTC.
        end: first moment after the last hour, UTC.
        seed: another one gives other readings.
        now: hours that have not begun by then are absent, the hour in progress is partial, and
            some of the last 72 hours hold a provisional value. Without it every hour is final.

    Returns:
        One entry an hour that has a reading.
    """
    first, last = ceil(_epoch_hours(start)), ceil(_epoch_hours(end))
    age_zero = None if now is None else _epoch_hours(now)
    if age_zero is not None:
        last = min(last, ceil(age_zero))
    final = age_zero is None or age_zero - last >= REVISED_AFTER_HOURS
    if final and 0 < last - first <= _BLOCK_HOURS:
        return _out_of_blocks(station_id, first, last, seed)
    return _made(station_id, first, last, seed, age_zero)


def _out_of_blocks(station_id: str, first: int, last: int, seed: int) -> Readings:
    """A short window's final readings: who asks for a day mostly asks for its neighbours next."""
    blocks = [
        _block(station_id, number, seed)
        for number in range(first // _BLOCK_HOURS, (last - 1) // _BLOCK_HOURS + 1)
    ]
    hours = np.concatenate([block.hours for block in blocks])
    begin, end = np.searchsorted(hours, [first, last])
    values = {
        field: np.concatenate([block.values[field] for block in blocks])[begin:end]
        for field in FIELDS
    }
    return Readings(hours[begin:end], values)


@lru_cache(maxsize=512)
def _block(station_id: str, number: int, seed: int) -> Readings:
    first = number * _BLOCK_HOURS
    return _made(station_id, first, first + _BLOCK_HOURS, seed, None)


def _made(station_id: str, first: int, last: int, seed: int, age_zero: float | None) -> Readings:
    site = _site(station_id, seed)
    hours = np.arange(first, last, dtype=np.int64)
    hours = hours[_reported(site, hours)]
    if not hours.size:
        return Readings(hours, {field: np.empty(0) for field in FIELDS})
    values = _air(site, hours)
    _publish(site, hours, values, age_zero)
    _break_sensors(site, hours, values)
    return Readings(hours, {field: np.round(values[field], _DECIMALS[field]) for field in FIELDS})


def _epoch_hours(moment: datetime) -> float:
    return moment.timestamp() / 3600.0


def _reported(site: _Site, hours: Ints) -> Bools:
    """Single hours are lost at random, whole week-ends now and then."""
    lost = uniform(site.own("lost hour"), hours) < 0.025
    since_saturday = hours + _MONDAY - _SATURDAY_14H
    week, into_week = np.divmod(since_saturday, _WEEK_HOURS)
    luck = uniform(site.own("outage"), week)
    length = np.where(luck < site.outage_share / 8, 65, 41)
    out = (luck < site.outage_share) & (into_week < length)
    reported: Bools = ~(lost | out)
    return reported


def _air(site: _Site, hours: Ints) -> dict[str, Floats]:
    """What a faultless station would measure; CO as its cell gives it, so below zero at times."""
    clock = hours % 24
    sun = _SUN[clock]
    traffic = _TRAFFIC[(hours + _MONDAY) % _WEEK_HOURS]
    winter = np.cos((hours - 15 * 24) * (2 * pi / _YEAR_HOURS))

    stagnation = layered(site.shared("stagnation"), hours, {170: 0.25, 60: 0.22, 24: 0.12})
    local = layered(site.own("local"), hours, {30: 0.14, 8: 0.15, 3: 0.16})
    jitter = 0.09 * normal(site.own("jitter"), hours)
    dust = _episodes(site, hours)
    pm25 = site.pm25_level * np.exp(
        0.35 * winter + 0.32 * traffic + stagnation + local + jitter + dust
    )
    # Coarse dust on top of the fine: PM10 cannot fall below PM2.5.
    coarse = layered(site.own("coarse"), hours, {50: 0.2, 7: 0.15}) + 0.25 * dust + 0.3
    fumes = layered(site.own("fumes"), hours, {20: 0.2, 5: 0.2}) + 0.6 * stagnation
    carbon = (0.08 + 0.35 * traffic) * np.exp(fumes + 0.2 * winter) + 0.6 * jitter
    if site.co_dead:
        carbon -= 0.9

    cloud = layered(site.shared("cloud"), hours, {110: 0.6, 30: 0.5})
    breeze = layered(site.own("breeze"), hours, {9: 0.4, 3: 0.2})
    warmth = 28.2 + 1.3 * winter + 2.6 * sun + cloud + breeze
    humidity = 80.0 - 4.6 * (warmth - 28.2) + 4.0 * smooth(site.shared("moisture"), hours, 40)
    nitrogen = 18.2 + 1.7 * traffic + 1.1 * fumes + 0.8 * stagnation
    ozone = 27.0 + 7.0 * sun - 3.5 * traffic + 4.5 * smooth(site.shared("ozone"), hours, 36)
    return {
        "CO": carbon,
        "T": warmth,
        "T. int.": 388.0 + 11.0 * (warmth - 28.2) + 4.0 * normal(site.own("inner"), hours),
        "NO2": nitrogen + 4.0 * jitter,
        "O3": ozone + 12.0 * jitter,
        "PM10": pm25 * (1.0 + np.exp(coarse)),
        "PM2.5": pm25,
        "RH": humidity,
    }


def _episodes(site: _Site, hours: Ints) -> Floats:
    """Dust for one to four days: at most one spell in ten days, felt by every station."""
    block, into_block = np.divmod(hours, _EPISODE_BLOCK_HOURS)
    length = 24.0 + 72.0 * uniform(site.shared("dust length"), block)
    begin = (_EPISODE_BLOCK_HOURS - length) * uniform(site.shared("dust begin"), block)
    strength = uniform(site.shared("dust strength"), block)
    strength = np.where(strength < 0.6, 0.0, 0.4 + 2.0 * (strength - 0.6))
    shape = np.sin(pi * np.clip((into_block - begin) / length, 0.0, 1.0))
    spell: Floats = strength * shape
    return spell


def _publish(site: _Site, hours: Ints, values: dict[str, Floats], now: float | None) -> None:
    """Put `values` in the state in which the network shows them at `now` (None: for good)."""
    provisional = np.zeros(hours.size, dtype=np.bool_)
    if now is not None:
        young = now - (hours + 1) < REVISED_AFTER_HOURS
        provisional = young & (uniform(site.own("revised"), hours) < 0.02)
        swing = uniform(site.own("swing"), hours) - 0.5
        error = np.sign(swing) * (0.06 + 0.4 * np.abs(swing))
        to_come = np.clip(hours + 1 - now, 0.0, 1.0)
        error *= np.maximum(to_come, provisional)
        for field in FIELDS:
            values[field] *= 1.0 + error * _ERROR_SHARE.get(field, 1.0)
    # The network clips CO when it revises; before that its calibration may go below zero.
    values["CO"] = np.where(provisional, values["CO"], np.maximum(values["CO"], 0.0))
    values["O3"] = np.maximum(values["O3"], 0.0)
    values["T. int."] = np.clip(values["T. int."], 300.0, 500.0)
    values["RH"] = np.clip(values["RH"], 20.0, 99.8)


def _break_sensors(site: _Site, hours: Ints, values: dict[str, Floats]) -> None:
    """The faults a cleaning step must find: spikes, a flat line, sentinels and silent sensors."""
    luck = uniform(site.own("spike"), hours)
    height = np.where(luck < 0.001, 5.0 + 5000.0 * luck, 1.0)
    for field in ("PM10", "PM2.5"):
        values[field] = values[field] * height
    _flatten(site, hours, values)

    luck = uniform(site.own("sentinel"), hours)
    chosen = (luck * 1e9).astype(np.int64) % len(FIELDS)
    for number, field in enumerate(FIELDS):
        values[field][(luck < 0.0005) & (chosen == number)] = SENTINEL
    for field, share in (("RH", 0.015), ("NO2", 0.0005), ("O3", 0.0005)):
        values[field][uniform(site.own(f"silent {field}"), hours) < share] = np.nan


def _flatten(site: _Site, hours: Ints, values: dict[str, Floats]) -> None:
    """Once a year the dust sensor sticks, for 12 to 36 hours, at what it measured last."""
    for year in range(int(hours[0]) // _YEAR_HOURS, int(hours[-1]) // _YEAR_HOURS + 1):
        place = chance(site.own("stuck"), year)
        begin = year * _YEAR_HOURS + int(place * (_YEAR_HOURS - 36))
        stuck = (hours >= begin) & (hours < begin + 12 + int(place * 1e6) % 25)
        if stuck.any():
            held = _air(site, np.array([begin]))
            for field in ("PM10", "PM2.5"):
                values[field][stuck] = held[field][0]
