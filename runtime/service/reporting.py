"""Status report, once a second, for the board that all outputs read; in it the present losses of frames, which
totals that have grown for months do not show.
"""

from __future__ import annotations

import logging
import math
import resource
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace

from tremorscope.runtime.frames.rates import BandWatch, MeasuredRate
from tremorscope.runtime.health import DeviceHealth, Health, MagnificationHealth, RegionHealth
from tremorscope.runtime.host.threads import Threads, release_freed_memory
from tremorscope.runtime.magnification.load import ThermalGovernor
from tremorscope.runtime.service.analysing import AnalysisFindings
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.device import DeviceWatch
from tremorscope.runtime.service.frames import camera_health, stage_summaries
from tremorscope.runtime.service.recovery import RecoveryLadder
from tremorscope.runtime.telemetry.load import resident_bytes

log = logging.getLogger("tremorscope.magnification")

_REPORTS = 15
"""Reports that losses are counted over, one a second."""
_LEAST_SHARE, _LEAST_FRAMES = 0.02, 3
"""Losses that are reported: at least this share of the frames, and this many."""
_FULL = 0.95
"""Load of the processor from which on a gap in the camera's count may be this device's own doing."""
_WHILE_FULL = "while the processor was full"
_WORDS = {
    "source": "camera or link",
    _WHILE_FULL: "at the camera while this device's processor was full",
    "unfetched": "this device fetched them too late",
    "late": "too much to do",
    "no_slot": "too much to do",
    "corrupt": "damaged",
    "abandoned": "camera opened again",
}


class LossWatch:
    """Compares lost with processed frames over the latest seconds, and names the causes."""

    def __init__(self) -> None:
        self._totals: dict[str, int] | None = None
        self._frames = 0
        self._latest: deque[tuple[int, Counter[str]]] = deque(maxlen=_REPORTS)

    def look(self, frames: int, drops: Mapping[str, int], cpu_load_ratio: float | None = None) -> str:
        """Take the present totals; returns a human-readable line, empty where next to nothing is lost.

        Args:
            frames: processed frames.
            drops: by reason: see `Drops`.
            cpu_load_ratio: load of the processor's cores together at present, 0 to 1; None where it is not known.
        """
        if self._totals is not None:
            lost = Counter({why: count - self._totals.get(why, 0) for why, count in drops.items()})
            if cpu_load_ratio is not None and cpu_load_ratio >= _FULL:
                lost[_WHILE_FULL] = lost.pop("source", 0)
            self._latest.append((frames - self._frames, lost))
        self._frames, self._totals = frames, dict(drops)
        sums: Counter[str] = sum((lost for _, lost in self._latest), Counter())
        total = sums.total()
        share = total / max(1, total + sum(processed for processed, _ in self._latest))
        if total < _LEAST_FRAMES or share < _LEAST_SHARE:
            return ""
        causes = dict.fromkeys(_WORDS.get(why, why) for why in (*_WORDS, *sums) if sums[why] > 0)
        return f"{share:.0%} of the camera's frames are being lost ({', '.join(causes)})"


class ShownRateWatch:
    """Compares the pictures a second that are shown with the frequencies that people look for in them."""

    def __init__(self) -> None:
        self._remark = ""

    def look(self, rate: MeasuredRate | None, frequencies_hz: Sequence[float]) -> str:
        """Take the present rate of the shown frames; returns a human-readable line, empty where they are enough.

        Both edges are logged.
        """
        shown_hz = rate.rate_hz * (1 - rate.drop_ratio) if rate else math.inf
        highest_hz = max(frequencies_hz, default=0.0)
        # Where it has been too few, a tenth more must come before it is enough.
        before, self._remark = self._remark, ""
        if shown_hz < 2 * highest_hz * (1.1 if before else 1.0):
            self._remark = (
                f"{shown_hz:.2g} pictures/s are shown: too few for {highest_hz:.3g} Hz, which looks slower than it is, "
                "or still; a smaller network, picture or region shows more, and measurements and clips have all frames"
            )
        if bool(before) != bool(self._remark):
            log.info("live picture: %s", self._remark or "shows enough pictures a second again")
        return self._remark


_CLEAR_EVERY = 60
"""Reports after which the stages' times begin anew and freed memory is given back."""


class Reporter:
    """Writes the status of all components to the board."""

    def __init__(
        self,
        parts: Components,
        ladder: RecoveryLadder,
        governor: ThermalGovernor,
        threads: Threads,
        device: DeviceWatch,
    ) -> None:
        self._parts, self._ladder, self._governor, self._threads = parts, ladder, governor, threads
        self._watch = device
        self._losses, self._shown = LossWatch(), ShownRateWatch()
        self._bands: dict[tuple[float, float], BandWatch] = {}
        self._reports = 0

    def report(self) -> None:
        """Gather the status and write it to the board."""
        parts, loop = self._parts, self._parts.loop
        findings = parts.analyst.findings if parts.analyst else AnalysisFindings()
        storage = parts.storage.health()
        magnification = parts.magnifying.health()
        if storage.recording and parts.storage.magnifies_clips:
            magnification = replace(magnification, reasons=(*magnification.reasons, "event"))
        if magnification.active:
            remark = self._shown.look(parts.magnifying.meter.rate, _looked_for(magnification, findings))
            magnification = replace(magnification, why_not=remark)
        camera = parts.opener.describe(
            camera_health(parts.camera, parts.supervisor, loop, dict(parts.journal.totals))
        )
        parts.board.update(
            camera=camera,
            magnification=magnification,
            stages=stage_summaries(loop, parts.magnifying),
            regions=_regions(loop.measuring.regions() if loop.measuring else (), findings),
            still_px=tuple(map(astuple, loop.measuring.placed.still)) if loop.measuring else (),
            modes=findings.modes,
            alarms=parts.alarms.statuses(),
            storage=storage,
            device=self._device(),
            recoveries=self._ladder.counts,
            thread_failures=self._threads.failures,
            viewers=parts.feed.viewers,
            problems=self._problems(
                findings, self._losses.look(loop.frames, camera.drops, self._watch.reading().cpu_load_ratio)
            ),
        )
        self._reports += 1
        if self._reports % _CLEAR_EVERY == 0:
            loop.meter.times.clear()
            parts.magnifying.meter.times.clear()
            release_freed_memory()

    def _device(self) -> DeviceHealth:
        reading, level = self._governor.reading, self._governor.level
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return DeviceHealth(
            temperatures_c=dict(reading.temperatures_c),
            limit_events=dict(reading.limit_events),
            reading=self._watch.reading(),
            note=self._watch.note(),
            governor_level=level.index,
            governor=str(level),
            throttled=reading.throttled,
            rss_bytes=resident_bytes(),
            cpu_s=usage.ru_utime + usage.ru_stime,
            copied_bytes=self._parts.account.by_place(),
        )

    def _problems(self, findings: AnalysisFindings, losses: str) -> tuple[str, ...]:
        parts = self._parts
        measured = parts.loop.meter.rate
        found = [
            *parts.opener.problems(measured.rate_hz if measured else None),
            losses,
            self._watch.trouble(),
            parts.loop.measuring.placed.moved if parts.loop.measuring else "",
            *self._band_warnings(),
            findings.trouble,
            *(
                f"alarm {each.rule.name}: {each.detail}"
                for each in parts.alarms.statuses()
                if not each.judged
            ),
            parts.upkeep.state,
            *self._threads.problems(),
        ]
        if parts.clock.steps:
            found.append(f"the device's clock was stepped {parts.clock.steps} times: start after it is right")
        return tuple(text for text in found if text)

    def _band_warnings(self) -> tuple[str, ...]:
        """Warnings that magnified or analysed bands are unreliable at the camera's measured rate and jitter."""
        rate, settings = self._parts.loop.meter.rate, self._parts.magnifying.settings
        if rate is None:
            return ()
        bands = {*(settings.bands_hz if settings.mode == "band" else ()), *self._parts.analysed_bands_hz}
        self._bands = {band: self._bands.get(band) or BandWatch(*band) for band in sorted(bands)}
        return tuple(dict.fromkeys(text for band in self._bands.values() for text in band.look(rate)))


def status_line(health: Health) -> str:
    """One line for ``systemctl status``."""
    camera = health.camera
    rate = f"{camera.rate_hz:.4g} frames/s" if camera.rate_hz else f"camera {camera.status}"
    parts = [rate, f"{health.frames} frames, {camera.dropped} dropped"]
    if camera.faults:
        parts.append(f"camera {', '.join(camera.faults)}")
    raised = [each.rule.name for each in health.raised]
    parts.append(f"alarms: {', '.join(raised)}" if raised else "no alarms")
    if health.magnification.active:
        parts.append(f"magnifying {health.magnification.amplification:g} times")
    if health.device.governor_level:
        parts.append(health.device.governor)
    if health.storage.trouble:
        parts.append(health.storage.trouble)
    return "; ".join(parts)


def _looked_for(magnification: MagnificationHealth, findings: AnalysisFindings) -> list[float]:
    """Frequencies in Hz that the live picture is to show: of its bands, or of what is known to vibrate."""
    if magnification.bands_hz:
        return [high_hz for _, high_hz in magnification.bands_hz]
    return [each.frequency_hz for each in findings.modes]


def _regions(regions: tuple[RegionHealth, ...], findings: AnalysisFindings) -> tuple[RegionHealth, ...]:
    frequencies = dict(findings.regions)
    return tuple(replace(each, frequencies=frequencies.get(each.name, ())) for each in regions)
