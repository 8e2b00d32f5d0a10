"""Provenance of a measurement: clip and its hash, program, command and settings, so that it can be repeated."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.stacks.pictures import find_pictures, is_pattern
from tremorscope.runtime.engines.interface.bundle import sha256_of
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.host.files import printable
from tremorscope.runtime.reports.signals import PROGRAM
from tremorscope.runtime.vibration.displacement.geometry import Lens, PlaneScale
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.monitoring.limits import Criterion

_LIBRARIES = ("numpy", "scipy", "av", "opencv-python-headless")
"""Libraries that the numbers depend on."""
_PAIRED = (".cih", ".cihx", ".mraw")
_ASIDE = {"clip", "directory", "output", "overwrite", "command", "export"}
"""Settings that change no number."""


@dataclass(frozen=True)
class Provenance:
    """The origin of results."""

    clip: str
    bytes: int
    sha256: str
    """Hash of the clip's file; of several that of their list, as ``sha256sum * | sha256sum`` makes it."""
    command: str
    """The command line; empty where the measurement was called from Python."""
    settings: Mapping[str, str]
    """Settings that were stated, as text; all others are defaults."""

    @cached_property
    def libraries(self) -> dict[str, str]:
        """Versions of Python and of the libraries that the numbers depend on."""
        found = {"python": platform.python_version()}
        for name in _LIBRARIES:
            # JetPack's OpenCV is no package of pip's.
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
        return found

    def line(self) -> str:
        """All that repeats it, in a line for the metadata of a video."""
        stated = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{PROGRAM}; clip {self.clip}, sha256 {self.sha256}; {stated or 'default settings'}"

    def summary(self) -> dict[str, object]:
        """All of it for programs."""
        return {
            "program": PROGRAM,
            "command": self.command,
            "settings": dict(self.settings),
            "clip": {"name": self.clip, "bytes": self.bytes, "sha256": self.sha256},
            "libraries": self.libraries,
        }


def provenance_of(clip: Path, command: str, settings: Mapping[str, str]) -> Provenance:
    """Provenance of results from a clip, which is read once for its hash.

    Raises:
        ClipFault: the clip cannot be read any more.
    """
    try:
        files = files_of(clip)
        size = sum(each.stat().st_size for each in files)
        return Provenance(printable(clip.name), size, _hash_of(files), command, settings)
    except OSError as error:
        raise ClipFault(
            f"{clip}: {reason_of(error)}", remedy="measure a clip that stays in its place"
        ) from None


def stated_settings(job: Any, defaults: Any) -> dict[str, str]:
    """Settings of a job, a dataclass, that are no defaults, as text."""
    named = {each.name: getattr(job, each.name) for each in fields(job) if each.name not in _ASIDE}
    return {name: setting_text(value) for name, value in named.items() if value != getattr(defaults, name)}


def setting_text(value: object) -> str:
    """A setting for a person: regions as their four numbers, limits by their names."""
    if isinstance(value, Region):
        return f"{value.x_px} {value.y_px} {value.width_px} {value.height_px}"
    if isinstance(value, Criterion):
        return f"{value.name()}: {value.source}"
    if isinstance(value, PlaneScale):
        return f"plane by {value.method}"
    if isinstance(value, Lens):
        return "calibrated lens"
    if isinstance(value, tuple):
        separator = " " if all(isinstance(each, (int, float)) for each in value) else "; "
        return separator.join(setting_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def files_of(clip: Path) -> tuple[Path, ...]:
    """The files that a clip consists of."""
    if clip.is_dir() or is_pattern(clip):
        return find_pictures(clip)
    if clip.suffix.lower() in _PAIRED:
        beside = sorted(clip.parent.glob(f"{clip.stem}.*"))
        return tuple(each for each in beside if each.suffix.lower() in _PAIRED)
    return (clip,)


def _hash_of(files: Iterable[Path]) -> str:
    hashes = [(sha256_of(each), printable(each.name)) for each in files]
    if len(hashes) == 1:
        return hashes[0][0]
    return hashlib.sha256("".join(f"{each}  {name}\n" for each, name in hashes).encode()).hexdigest()
