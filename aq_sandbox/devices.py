"""Made-up devices that push: N of them, deterministic by seed, a reading a second each.

It shares nothing with the platform: what it knows of the interface is docs/devices.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

# What each kind sends: field, mean, swing over a day, noise, least and greatest value.
KINDS: dict[str, tuple[tuple[str, float, float, float, float, float], ...]] = {
    "Thermostat": (("temperature", 20.0, 6.0, 0.1, 10.0, 30.0),),
    "Barometer": (("pressure", 1005.0, 8.0, 0.2, 900.0, 1100.0),),
    "Hygrometer": (("humidity", 55.0, 25.0, 0.5, 0.0, 100.0),),
    "HeartRateMeter": (("heart_rate", 75.0, 20.0, 3.0, 20.0, 250.0),),
    "AirQuality": (
        ("pm25", 18.0, 12.0, 1.5, 0.0, 500.0),
        ("pm10", 30.0, 18.0, 2.5, 0.0, 800.0),
        ("co", 0.5, 0.3, 0.02, 0.0, 15.0),
        ("no2", 25.0, 15.0, 1.0, 0.0, 300.0),
        ("o3", 50.0, 30.0, 1.0, 0.0, 300.0),
    ),
}
_TAGS = tuple(KINDS)
_DAY_SECONDS = 86_400
# Of a thousand messages, with faults: how many come late, twice, are broken.
_LATE, _TWICE, _BROKEN = 20, 20, 10
_LATE_SECONDS = 90
_HOSTILE_SECONDS = 5

Message = dict[str, Any]


@dataclass(frozen=True)
class Fleet:
    """Devices and what each of them measures at any second."""

    devices: int
    seed: int = 1

    def message(self, device: int, second: int) -> Message:
        """What a device sends for a second since 1970; the same whenever it is asked."""
        tag = _TAGS[device % len(_TAGS)]
        own = random.Random(f"{self.seed}/{device}")  # noqa: S311
        phase, offset = own.random(), own.gauss(0, 0.3)
        noise = random.Random(f"{self.seed}/{device}/{second}")  # noqa: S311
        turn = math.sin(2 * math.pi * (second / _DAY_SECONDS + phase))
        stamp = datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
        values = {}
        for name, mean, swing, spread, least, most in KINDS[tag]:
            value = mean + swing * (turn + offset) + spread * noise.gauss(0, 1)
            values[name] = round(min(most, max(least, value)), 3)
        return {"device_id": str(device + 1), "timestamp": stamp, "tag": tag, **values}

    def second(self, second: int) -> list[Message]:
        """What all devices send for a second."""
        return [self.message(device, second) for device in range(self.devices)]


@dataclass
class Troubles:
    """What goes wrong on the way: messages that are late, doubled, out of order or broken."""

    seed: int
    waiting: list[tuple[int, Message]] = field(default_factory=list)

    def apply(self, messages: list[Message], second: int) -> list[Any]:
        """What arrives of the messages of a second.

        Args:
            messages: Those of all devices.
            second: Which second it is.

        Returns:
            Messages and what was made of them, in another order.
        """
        chance = random.Random(f"{self.seed}/troubles/{second}")  # noqa: S311
        arriving: list[Any] = [one for due, one in self.waiting if due <= second]
        self.waiting = [(due, one) for due, one in self.waiting if due > second]
        for message in messages:
            fate = chance.randrange(1000)
            if fate < _LATE:
                self.waiting.append((second + chance.randrange(5, _LATE_SECONDS), message))
            elif fate < _LATE + _TWICE:
                arriving += [message, message]
            elif fate < _LATE + _TWICE + _BROKEN:
                arriving.append(_broken(message, chance))
            else:
                arriving.append(message)
        chance.shuffle(arriving)
        return arriving


def _broken(message: Message, chance: random.Random) -> Any:
    value = next(name for name in message if name not in ("device_id", "timestamp", "tag"))
    ahead = datetime.fromisoformat(message["timestamp"]) + timedelta(days=1)
    return chance.choice(
        [
            {**message, value: 1e6},
            {**message, value: "n/a"},
            {**message, "tag": "Toaster"},
            {**message, "timestamp": ahead.isoformat()},
            {**message, "timestamp": 0},
            {key: part for key, part in message.items() if key != "device_id"},
            None,
        ]
    )


def hostile_bodies(second: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies and headers that no device sends."""
    yield b"[" * 100_000, {}
    yield b"\x00\xff" * 100, {"Content-Type": "application/msgpack"}
    yield b" " * (3 << 20), {}
    yield json.dumps([{}] * 20_000).encode(), {}
    yield b"{}", {"Authorization": f"Bearer aqd_{second % 10**8:08d}_{'0' * 64}"}


@dataclass(frozen=True)
class Target:
    """Where to push, and how."""

    url: str
    key: str
    batch: int = 500
    faults: bool = False
    hostile: bool = False


async def simulate(
    fleet: Fleet, target: Target, seconds: int | None, report: Callable[[Counter[str]], None]
) -> Counter[str]:
    """Push in real time.

    Args:
        fleet: The devices.
        target: Where to, and how.
        seconds: How long; None: until it is stopped.
        report: Takes the counts so far, every ten seconds.

    Returns:
        Counts: messages sent, accepted and refused, and answers by status.
    """
    counts: Counter[str] = Counter()
    troubles = Troubles(fleet.seed)
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=target.url, headers=headers, timeout=30) as client:
        first = int(time.time())
        last = None if seconds is None else first + seconds
        second = first
        while last is None or second < last:
            await asyncio.sleep(max(0.0, second + 1 - time.time()))
            messages: list[Any] = fleet.second(second)
            if target.faults:
                messages = troubles.apply(messages, second)
            size = target.batch
            parts = [messages[start : start + size] for start in range(0, len(messages), size)]
            await asyncio.gather(*(_push(client, part, counts) for part in parts))
            if target.hostile and second % _HOSTILE_SECONDS == 0:
                for body, more in hostile_bodies(second):
                    answer = await client.post("/v1/readings", content=body, headers=more)
                    counts[f"hostile_{answer.status_code}"] += 1
            second += 1
            if (second - first) % 10 == 0:
                report(counts)
    return counts


async def _push(client: httpx.AsyncClient, messages: list[Any], counts: Counter[str]) -> None:
    """Push messages until they are answered for good, as a device with some memory does."""
    while True:
        try:
            answer = await client.post("/v1/readings", content=json.dumps(messages))
        except httpx.TransportError:
            counts["no_answer"] += 1
            await asyncio.sleep(1)
            continue
        counts[f"answers_{answer.status_code}"] += 1
        if answer.status_code in {429, 503, 507}:
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
            continue
        break
    counts["messages"] += len(messages)
    if answer.status_code in {202, 207, 422}:
        counts["accepted"] += answer.json()["accepted"]
        counts["refused"] += len(answer.json().get("refused", ()))
