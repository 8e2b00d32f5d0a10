"""What is recorded around a trigger."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runtime.errors import OptionFault
from runtime.outputs.nvenc import EncoderChoice


@dataclass(frozen=True)
class EventSettings:
    """What is recorded around a trigger, and how much memory that may take."""

    pre_roll_s: float = 3.0
    post_roll_s: float = 5.0
    longest_s: float = 120.0
    """Triggers that follow each other extend a clip up to this length."""
    memory_bytes: int = 1 << 30
    """For the frames of the pre-roll, which are kept raw."""
    stall_s: float = 5.0
    """A clip is completed with what it has if no frame comes for so long."""
    encoder: EncoderChoice = "x264"
    """What encodes."""

    def check(self) -> None:
        """Check that the numbers can be followed.

        Raises:
            OptionFault: they cannot.
        """
        times = (self.pre_roll_s, self.post_roll_s, self.longest_s, self.stall_s)
        if not all(0 <= time_s < math.inf for time_s in times) or self.stall_s == 0:
            raise OptionFault(
                "event clips: a time is negative, endless or zero",
                remedy="give times of 0 s or more, stall_s more",
            )
        if self.longest_s < self.pre_roll_s + self.post_roll_s:
            raise OptionFault(
                f"event clips: {self.pre_roll_s:g} s before and {self.post_roll_s:g} s after a trigger do not fit "
                f"into {self.longest_s:g} s",
                remedy="raise longest_s or shorten the others",
            )
