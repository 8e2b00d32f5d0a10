"""Settings of the store: where it lies, how long things are kept, and what is given up when the disk runs low."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.settings import Section

Days = Annotated[float, Field(gt=0, le=36_500)]
Gigabytes = Annotated[float, Field(gt=0, le=1e6)]
DataKind = Literal["previews", "clips", "series"]
"""Kinds of data that are given up when the disk runs low, first to last."""


class RetentionSettings(Section):
    """Retention times and most space of the stored data: the oldest go first."""

    series_days: Days = 7.0
    """Raw displacement."""
    minutes_days: Days = 90.0
    """Its summaries by the minute."""
    hours_days: Days = 3650.0
    """Its summaries by the hour."""
    spectra_days: Days = 365.0
    """Peaks and modes."""
    alarms_days: Days = 3650.0
    """Alarms that are cleared and acknowledged, events and notices."""
    clips_days: Days = 90.0
    """Clips; those of alarms that nobody has acknowledged outlive it."""
    store_gb: Gigabytes = 4.0
    """Room for all tables."""
    clips_gb: Gigabytes = 20.0
    """Room for all clips."""

    @property
    def store_bytes(self) -> int:
        """Room for all tables."""
        return round(1e9 * self.store_gb)

    @property
    def clips_bytes(self) -> int:
        """Room for all clips."""
        return round(1e9 * self.clips_gb)


class DiskSettings(Section):
    """Levels of free disk space below which data are given up, in this order; alarms never."""

    previews_below_gb: Gigabytes = 2.0
    """Magnified clips of events."""
    clips_below_gb: Gigabytes = 1.0
    """All clips."""
    series_below_gb: Gigabytes = 0.25
    """Series, peaks and modes."""
    margin: Annotated[float, Field(gt=1, le=10)] = 1.25
    """They resume when so many times that much is free."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.previews_below_gb > self.clips_below_gb > self.series_below_gb:
            raise ValueError(
                "levels are out of order: give previews_below_gb more than clips_below_gb, and that more than "
                "series_below_gb"
            )
        return self

    def level_bytes(self, thing: DataKind) -> int:
        """Free space below which a kind of data is given up."""
        levels_gb = {
            "previews": self.previews_below_gb,
            "clips": self.clips_below_gb,
            "series": self.series_below_gb,
        }
        return round(1e9 * levels_gb[thing])


class StoreSettings(Section):
    """Directory, retention and disk levels of the store."""

    directory: Path | None = None
    """Holds tremorscope.db and clips/. null: what systemd states (StateDirectory), else ``tremorscope-state`` in the
    working directory."""
    series: bool = True
    """Store raw displacement; peaks, modes, alarms and events are stored in any case."""
    retention: RetentionSettings = RetentionSettings()
    """Retention times and most space."""
    disk: DiskSettings = DiskSettings()
    """Reactions to a disk that runs low."""
    reserve_mb: Annotated[int, Field(ge=1, le=10_240)] = 8
    """Disk space set aside, so that alarms can be written when the disk is full."""
