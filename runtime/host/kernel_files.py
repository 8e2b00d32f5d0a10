"""Small files of the kernel and of Jetson Linux. Any of them may be missing, empty or unreadable."""

from __future__ import annotations

import re
from pathlib import Path


def text(path: Path) -> str:
    """Text of a file, without blanks around it; empty where it cannot be read."""
    try:
        # Device-tree files end with a zero byte.
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")
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


def meminfo(root: Path = Path("/")) -> dict[str, int]:
    """Sizes of memory, swap and contiguous memory in bytes, by the kernel's names, e.g. ``MemAvailable``."""
    stated = re.findall(r"^(\w+):\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    return {name: 1024 * int(kilobytes) for name, kilobytes in stated}


def l4t_release(root: Path) -> str | None:
    """Release of Jetson Linux, e.g. 36.4.3, from ``# R36 (release), REVISION: 4.3, GCID: ...``."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def power_mode_number(root: Path) -> int | None:
    """Number of the power mode that was set last, from ``pmode:0002 ...``."""
    found = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status"))
    return int(found[1]) if found else None


def default_power_mode(root: Path) -> int | None:
    """Number of the power mode that holds before any is set."""
    found = re.search(r"PM_CONFIG\s+DEFAULT=(\d+)", text(root / "etc/nvpmodel.conf"))
    return int(found[1]) if found else None


def power_modes(root: Path) -> dict[int, str]:
    """Number and name of each power mode of this board, e.g. 2 and ``MAXN_SUPER``."""
    stated = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", text(root / "etc/nvpmodel.conf"))
    return {int(number): name for number, name in stated}
