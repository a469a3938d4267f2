"""Asking a network: outcomes of requests, and which stations to ask for the newest hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import httpx

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.http.client import BrokenAnswer, RefusedRequest
from aq_resources.network_client import Pull
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.windows import Window

# A question that takes more pages than this has no end.
MAX_PAGES = 1000
One = TypeVar("One")


def kept_pull(
    source: str,
    url: str,
    params: dict[str, str],
    window: Window,
    now: Callable[[], datetime],
    request: Callable[[], httpx.Response],
    lost: Callable[[RawAnswer], str | None] = lambda answer: None,
    *,
    title: str,
) -> Pull:
    """Send a request, and keep what the network answered as it came, good or not.

    Args:
        source: What is asked about, for messages.
        url: The address, without secrets.
        params: What was asked, without secrets, and what a later reader of the answer must know.
        window: The hours asked for.
        now: Gives the time at which the answer was received.
        request: Sends it. Whatever it raises becomes the outcome's failure, so that no answer,
            however odd, ends the pull of the other stations.
        lost: Says why a sound answer brings nothing of what it was asked about, though it does not
            say that there is nothing; None where all is well.
        title: What messages call the network.

    Returns:
        The outcome.
    """

    def keep(response: httpx.Response) -> RawAnswer:
        asked = (window.start, window.end)
        return RawAnswer(url, params, asked, now(), response.status_code, response.text)

    try:
        answer = keep(request())
        reason = lost(answer)
        if reason is None:
            return Pull(source, answer)
        said = f"{title} sent nothing of what was asked of {source} ({url}): {reason}"
        return Pull(source, answer, TransientFailure(said))
    except (BrokenAnswer, RefusedRequest) as failure:
        return Pull(source, keep(failure.response), failure)
    except (TransientFailure, PermanentFailure) as failure:
        return Pull(source, None, failure)
    except Exception as error:  # noqa: BLE001
        return Pull(
            source,
            None,
            TransientFailure(f"{title} sent what cannot be read ({url}): {error!r}"),
        )


class FewInTurn(Generic[One]):
    """Which few of many to ask for the newest hour: the freshest of last time, others in turn.

    A silent one among many must not hide that the others go on.
    """

    def __init__(self, few: int) -> None:
        self._few = few
        self._next = 0
        self.freshest: One | None = None

    def next_few(self, many: Sequence[One]) -> list[One]:
        """Some of `many`, which must not be empty."""
        turn = [many[(self._next + n) % len(many)] for n in range(self._few)]
        self._next = (self._next + self._few - 1) % len(many)
        preferred = [one for one in many if one == self.freshest]
        return list(dict.fromkeys([*preferred, *turn]))[: self._few]
