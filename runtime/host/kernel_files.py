"""Small files of the kernel, each with one number or one word. Any of them may be missing, empty or unreadable."""

from __future__ import annotations

from pathlib import Path


def text(path: Path) -> str:
    """Text of a file, without blanks around it; empty where it cannot be read."""
    try:
        # Device-tree files end with a zero byte.
        return path.read_text(encoding="ascii", errors="replace").strip("\0 \t\n")
    except OSError:  # e.g. EAGAIN of a thermal zone whose part of the chip is switched off
        return ""


def number(path: Path) -> int | None:
    """Integer in a file; None where there is none, e.g. ``<not supported>``."""
    try:
        value = int(text(path))
    except ValueError:
        return None
    return value if abs(value) < 2**64 else None


def entries(directory: Path, pattern: str) -> list[Path]:
    """Entries of a directory, sorted; none where it is missing, or disappears meanwhile."""
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []
