"""Settings of what is kept: clips of events and the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from runtime.configuration.section import Section
from runtime.outputs.disk_guard import DiskLevels
from runtime.outputs.event_settings import EventSettings
from runtime.outputs.nvenc import EncoderChoice
from runtime.store.retention import Retention

Roll = Annotated[float, Field(ge=0, le=600)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Gigabytes = Annotated[float, Field(gt=0, le=1e6)]


class RecordingSettings(Section):
    """Clips of what the camera saw around an alarm, or whenever somebody asks for one."""

    on_alarm: bool = True
    """Whether an alarm that is raised is recorded."""
    magnified: bool = True
    """Whether a magnified clip is made beside the raw one."""
    pre_roll_s: Roll = 3.0
    """Seconds before the trigger. They are kept raw in memory: 21 MB a second for 640x360 at 30 Hz."""
    post_roll_s: Roll = 5.0
    """Seconds after it."""
    longest_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Triggers that follow each other extend a clip up to this length."""
    memory_mb: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Most memory for the pre-roll."""
    encoder: EncoderChoice = "auto"
    """What encodes: auto takes the device's own encoder where it has one, else the CPU; nvenc and x264 insist."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.longest_s < self.pre_roll_s + self.post_roll_s:
            raise ValueError("pre_roll_s and post_roll_s do not fit into longest_s: raise it or shorten them")
        return self

    def settings(self) -> EventSettings:
        """For the recorder."""
        return EventSettings(
            pre_roll_s=self.pre_roll_s,
            post_roll_s=self.post_roll_s,
            longest_s=self.longest_s,
            memory_bytes=self.memory_mb << 20,
            encoder=self.encoder,
        )


class RetentionSettings(Section):
    """How long things are kept, and how much room they may take: the oldest go first."""

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

    def policy(self) -> Retention:
        """For the housekeeping."""
        days = self.model_dump(exclude={"store_gb", "clips_gb"})
        return Retention(
            **days, store_bytes=round(1e9 * self.store_gb), clips_bytes=round(1e9 * self.clips_gb)
        )


class DiskSettings(Section):
    """What is given up when the disk runs low, first to last; alarms never."""

    previews_below_gb: Gigabytes = 2.0
    """Magnified clips of events."""
    clips_below_gb: Gigabytes = 1.0
    """All clips."""
    series_below_gb: Gigabytes = 0.25
    """Series, peaks and modes."""
    margin: Annotated[float, Field(gt=1, le=10)] = 1.25
    """They begin again when so many times that much is free."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.previews_below_gb > self.clips_below_gb > self.series_below_gb:
            raise ValueError(
                "levels are out of order: give previews_below_gb more than clips_below_gb, and that more than "
                "series_below_gb"
            )
        return self

    def levels(self) -> DiskLevels:
        """For the disk guard."""
        return DiskLevels(
            previews_bytes=round(1e9 * self.previews_below_gb),
            clips_bytes=round(1e9 * self.clips_below_gb),
            series_bytes=round(1e9 * self.series_below_gb),
            margin=self.margin,
        )


class StoreSettings(Section):
    """Where everything is kept, and for how long."""

    directory: Path | None = None
    """Holds tremorscope.db and clips/. null: what systemd states (StateDirectory), else ``tremorscope-state`` in the
    working directory."""
    series: bool = True
    """Whether raw displacement is stored; peaks, modes, alarms and events are in any case."""
    retention: RetentionSettings = RetentionSettings()
    """How long things are kept."""
    disk: DiskSettings = DiskSettings()
    """What is given up when the disk runs low."""
    reserve_mb: Annotated[int, Field(ge=1, le=10_240)] = 8
    """Set aside, so that alarms can be written when everything else is full."""
