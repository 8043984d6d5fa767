"""What the processor says of itself."""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def flags() -> frozenset[str]:
    """The words that Linux describes it with, those of its instructions among them; none elsewhere."""
    return frozenset(CPUINFO.read_text().split() if CPUINFO.is_file() else ())
