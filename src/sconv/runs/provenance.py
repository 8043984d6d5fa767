"""What a run was made with."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    names = ("sconv", "tensorflow", "keras", "numpy", "hydra-core")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def git_commit() -> str | None:
    """The commit checked out in the working directory, with '+' where files differ from it; None outside git."""
    try:
        described = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
