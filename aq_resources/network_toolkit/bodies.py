"""From an answer's body to what it holds: records, or the reason why there are none; numbers.

Every network's `bodies` module says what its bodies hold, in this shape: `invalid_body_reason`
(`aq_resources.http.client` has the one for JSON) says why a 200 is to be asked for again,
`refusal_hint` what to fix where the network refuses, and a function reads a body's records, notes
each that is bad, and returns None where it holds none at all.
"""

from __future__ import annotations

import math
from typing import Any

import httpx

from aq_resources.network_client import Problems
from aq_resources.stores.raw_pulls import RawAnswer


def is_refusal(answer: RawAnswer, sources: set[str], problems: Problems) -> bool:
    """Note an answer with another status than 200.

    Args:
        answer: A stored answer.
        sources: The stations, or what else the answer is about.
        problems: Takes `status_<code>` for each of them.

    Returns:
        Whether it is one.
    """
    if answer.status == httpx.codes.OK:
        return False
    for source in sources:
        problems.add(source, f"status_{answer.status}", answer.body)
    return True


def note_not_json(
    answer: RawAnswer, sources: set[str], problems: Problems, error: Exception
) -> None:
    """Note a body that is no JSON.

    Args:
        answer: The answer that has it.
        sources: The stations, or what else the answer is about.
        problems: Takes `not_json` for each of them.
        error: What the decoder says.
    """
    for source in sources:
        problems.add(source, "not_json", f"{error}: {answer.body[:60]}")


def note_said_error(body: object, source: str, status: int, problems: Problems) -> bool:
    """Note a body without records that speaks of an error, whatever its status says.

    Args:
        body: What was read of it.
        source: What the answer is about.
        status: The answer's.
        problems: Takes `status_<code>`, as for a refusal.

    Returns:
        Whether it is one.
    """
    said = as_dict(body).get("error")
    if not said:
        return False
    problems.add(source, f"status_{status}", f"it says: {said}")
    return True


def first_problem(problems: Problems) -> str | None:
    """The first thing noted, in one line; None where nothing is."""
    for (_, kind), example in problems.examples.items():
        return f"{kind}: {example}"
    return None


def as_number(value: object, *, text: bool = False, finite: bool = False) -> float | None:
    """A value of a body as a number.

    Args:
        value: Anything that JSON or CSV can hold.
        text: Whether a number written as text is one.
        finite: Whether NaN and the infinities written as text are none; bare ones, which JSON does
            not know, and numbers that no float can hold never are.

    Returns:
        The number; None where the value is none.
    """
    # Nearly every value is one, and the parsers of large bodies wait for this.
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str if text else int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if not finite or math.isfinite(number) else None


def value_of(
    given: object, station: str, record: str, problems: Problems, *, finite: bool = False
) -> float | None:
    """The value in a record, where numbers written as text are read and noted.

    Args:
        given: What the record gives.
        station: Its station.
        record: Which record and key, for the example.
        problems: Takes `not_a_number` and `number_as_text`.
        finite: Whether NaN and the infinities are no values.

    Returns:
        The number; None where there is none.
    """
    number = as_number(given, text=True, finite=finite)
    if given is not None and number is None:
        problems.add(station, "not_a_number", f"{record}: {given!r}")
    elif isinstance(given, str):
        # Unambiguous, so it is read; still a change of form that somebody should see.
        problems.add(station, "number_as_text", f"{record}: {given!r}")
    return number


def as_dict(value: object) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts_in(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def value_at(value: object, *path: str) -> Any:
    """What lies in objects within objects; None where a step is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
