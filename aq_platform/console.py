"""What the `aq` command prints: its two streams, and errors in one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape

from aq_platform.records import database_failure, records_failure
from aq_resources.failures import PlatformFailure, SettingsError

if TYPE_CHECKING:
    from aq_resources.services import Services

# Control characters but tab and line feed, what turns the direction of writing, lone surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# A pipe has no width of its own; 80 columns would fold every table.
out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)


@contextmanager
def readable_errors() -> Iterator[None]:
    """One line for what the user can fix; anything else is a defect and keeps its traceback."""
    try:
        yield
    except (SettingsError, PlatformFailure) as error:
        _print_error(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("[yellow]Interrupted; nothing was half-written.[/]")
        raise typer.Exit(130) from None
    except Exception as error:
        reason = database_failure(error)
        if reason is None:
            raise
        _print_error(records_failure(reason))
        raise typer.Exit(1) from None


def report_invalid(services: Services, names: list[str] | None = None) -> bool:
    """Print what to fix in the entries of networks that are left out; whether there are any."""
    reasons = [
        reason for name, reason in services.invalid_networks.items() if not names or name in names
    ]
    for reason in reasons:
        _print_error(reason)
    return bool(reasons)


def legible(text: str) -> str:
    """The text with what steers a terminal, or turns its writing round, as escapes of JSON.

    Line breaks and tabs stay. JSON stays the same JSON.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: str) -> str:
    """Text from elsewhere within a line of rich's markup: shown as it is, and nothing more."""
    return escape(legible(text))


def _print_error(text: str) -> None:
    err.print(f"[bold red]aq:[/] {plain(text)}", highlight=False, soft_wrap=True)
