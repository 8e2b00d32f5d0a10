"""Status report, once a second, for the board that all outputs read."""

from __future__ import annotations

import resource
from dataclasses import replace

from tremorscope.runtime.frames.rates import BandWatch
from tremorscope.runtime.health import DeviceHealth, Health, RegionHealth
from tremorscope.runtime.host.memory import release_freed_memory
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.magnification.load import ThermalGovernor
from tremorscope.runtime.service.analysing import AnalysisFindings
from tremorscope.runtime.service.assembly import Components
from tremorscope.runtime.service.device import DeviceWatch
from tremorscope.runtime.service.frames import camera_health, stage_summaries
from tremorscope.runtime.service.losses import LossWatch
from tremorscope.runtime.service.recovery import RecoveryLadder
from tremorscope.runtime.telemetry.load import resident_bytes

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
        self._losses = LossWatch()
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
        camera = parts.opener.describe(
            camera_health(parts.camera, parts.supervisor, loop, dict(parts.journal.totals))
        )
        parts.board.update(
            camera=camera,
            magnification=magnification,
            stages=stage_summaries(loop, parts.magnifying),
            regions=_regions(loop.measuring.regions() if loop.measuring else (), findings),
            modes=findings.modes,
            alarms=parts.alarms.statuses(),
            storage=storage,
            device=self._device(),
            recoveries=self._ladder.counts,
            thread_failures=self._threads.failures,
            viewers=parts.feed.viewers,
            problems=self._problems(
                findings,
                self._losses.look(loop.frames, camera.drops, self._watch.reading().cpu_load_ratio),
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


def _regions(regions: tuple[RegionHealth, ...], findings: AnalysisFindings) -> tuple[RegionHealth, ...]:
    frequencies = dict(findings.regions)
    return tuple(replace(each, frequencies=frequencies.get(each.name, ())) for each in regions)
