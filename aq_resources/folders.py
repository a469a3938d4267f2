"""What stands in the way of a folder, in words that say what to do."""

from __future__ import annotations

import os
from pathlib import Path

from aq_resources.failures import SettingsError


def refuse_unusable(folder: Path) -> None:
    """Refuse a folder that can be neither entered nor made.

    Raises:
        SettingsError: a file, a link to nothing or a missing right is in its place or above it.
    """
    if reason := obstacle(folder):
        raise SettingsError(f"AQ_HOME: {folder} cannot be used: {reason}. Set another folder.")


def obstacle(folder: Path) -> str | None:
    """What stands in the way of a folder by itself; None where it can be entered or made."""
    for path in (folder, *folder.parents):
        try:
            path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                return f"{path} is a link to nothing"
            continue
        except NotADirectoryError:
            continue
        except OSError as error:
            return f"{path}: {error.strerror}"
        if not path.is_dir():
            return f"{path} is no folder"
        return None if os.access(path, os.X_OK) else f"{path} may not be entered"
    return None
