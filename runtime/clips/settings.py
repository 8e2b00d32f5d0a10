"""Settings of the clips that are recorded around a trigger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from tremorscope.runtime.clips.nvenc import EncoderChoice
from tremorscope.runtime.settings import Section

Roll = Annotated[float, Field(ge=0, le=600)]


class RecordingSettings(Section):
    """Clips of the camera's frames around an alarm or a request."""

    on_alarm: bool = True
    """Record a clip when an alarm is raised."""
    magnified: bool = True
    """Make a magnified clip beside the raw one."""
    pre_roll_s: Roll = 3.0
    """Seconds before the trigger. They are kept raw in memory: 21 MB a second for 640x360 at 30 Hz."""
    post_roll_s: Roll = 5.0
    """Seconds after it."""
    longest_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Triggers that follow each other extend a clip up to this length."""
    memory_mb: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Most memory for the pre-roll."""
    near_lossless: bool = True
    """Keep the raw clip as evidence: what is measured in it is what was filmed. It takes five to twenty times the
    room."""
    encoder: EncoderChoice = "auto"
    """Encoder: auto takes the device's own encoder if it has one, else the CPU; nvenc and x264 insist."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.longest_s < self.pre_roll_s + self.post_roll_s:
            raise ValueError("pre_roll_s and post_roll_s do not fit into longest_s: raise it or shorten them")
        return self
