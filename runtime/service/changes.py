"""Differences between two configurations: those that take effect while the service runs, and those after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.configuration.yaml_document import Path, dotted

_LIVE = ("magnification", "vibration", "reload_on_change")
"""Sections that take effect while the service runs, but for the keys in ``_NOT_LIVE``."""
_NOT_LIVE = {("magnification", key) for key in ("bundle", "int8_bundle", "runtime", "engines", "threads")}
"""Keys of these sections that need a restart."""


@dataclass(frozen=True)
class Changes:
    """Differences from one configuration to another."""

    configuration: Configuration
    """The present one with all changes that take effect now."""
    applied: tuple[str, ...]
    """Changes that take effect now, a line each."""
    needs_restart: tuple[str, ...]
    """Changes that take effect after a restart, a line each."""
    regions: bool = False
    """True where measuring must begin anew."""
    analysis: bool = False
    """True where the analysis changes."""
    alarms: bool = False
    magnification: bool = False

    @property
    def any(self) -> bool:
        """True where there is a difference."""
        return bool(self.applied or self.needs_restart)


def changes_between(present: Configuration, new: Configuration) -> Changes:
    """Compare a new configuration with the present one."""
    differences = list(_differences(present.model_dump(), new.model_dump(), ()))
    live = [each for each in differences if _is_live(each[0])]
    others = [each for each in differences if not _is_live(each[0])]
    magnification = new.magnification.model_copy(
        update={key: getattr(present.magnification, key) for _, key in _NOT_LIVE}
    )
    keys = {path[:2] for path, _, _ in live}
    measured = {("vibration", key) for key in ("regions", "still", "scale", "window_s")}
    analysed = {
        ("vibration", key) for key in ("analyse_every_s", "analyse_over_s", "frequencies_hz", "modes")
    }
    return Changes(
        present.model_copy(
            update={
                "magnification": magnification,
                "vibration": new.vibration,
                "reload_on_change": new.reload_on_change,
            }
        ),
        applied=tuple(_line(*each) for each in live),
        needs_restart=tuple(_line(*each) for each in others),
        regions=bool(keys & measured),
        analysis=bool(keys & (measured | analysed)),
        alarms=any(path[0] == "vibration" for path, _, _ in live),
        magnification=any(path[0] == "magnification" for path, _, _ in live),
    )


def _is_live(path: Path) -> bool:
    return path[0] in _LIVE and path[:2] not in _NOT_LIVE


def _differences(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*before, *(each for each in after if each not in before)):
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif before != after:
        yield path, before, after


def _line(path: Path, before: Any, after: Any) -> str:
    values = [_short(before), _short(after)]
    return f"{dotted(path)}: {values[0]} -> {values[1]}" if None not in values else dotted(path)


def _short(value: Any) -> str | None:
    """A value that fits into a line, or None."""
    if isinstance(value, (dict, list, tuple)) and value and isinstance(next(iter(value)), (dict, str)):
        return None
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else None
