"""Comparative timing in alternating rounds, so that a change of the machine's load affects all steps alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def median_ms(
    steps: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Median time of each step in ms over ``rounds`` rounds, after a first one that allocates."""
    times_ms: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start_s = clock()
            step()
            if turn:
                times_ms[name].append(1e3 * (clock() - start_s))
    return {name: statistics.median(times) for name, times in times_ms.items()}
