"""Contradictions between keys that are each valid by themselves: regions and picture, alarms and regions, bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from tremorscope.runtime.cameras.opening import drawn_settings
from tremorscope.runtime.cameras.settings import ClipSettings, SyntheticCameraSettings
from tremorscope.runtime.clips.pre_roll import slots_for
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.configuration.yaml_document import KeyPath as KeyPath
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.frames.buffers import FrameFormat
from tremorscope.runtime.magnification.filters import design
from tremorscope.runtime.magnification.magnifier import check_amplification
from tremorscope.runtime.vibration.limit_settings import CurveAlarmSettings, StandardAlarmSettings
from tremorscope.runtime.vibration.monitoring.limits import coverage
from tremorscope.runtime.vibration.region_settings import RectangleSettings
from tremorscope.runtime.vibration.settings import CAMERA

Contradiction: TypeAlias = tuple[KeyPath, str, str]
"""Path of the key, what is wrong, and what to do."""

_FEWEST_SAMPLES = 64


def contradictions(configuration: Configuration) -> list[Contradiction]:
    """Find contradictions between keys that are each valid by themselves, e.g. a region outside the picture.

    What only the camera knows, such as the size of a clip's pictures, is not checked here.
    """
    parts = (_names, _drawn, _regions, _geometry, _alarms, _bands, _analysis, _magnification, _recording)
    return [found for part in parts for found in part(configuration)]


def open_configured_bundle(configuration: Configuration) -> Bundle:
    """The bundle that the configuration names, its files checked against their hashes.

    Raises:
        BundleFault: it is missing or damaged, or was found to lose too much.
    """
    bundle = open_bundle(configuration.magnification.bundle)
    bundle.check_deployable()
    return bundle


def rate_of(configuration: Configuration) -> float | None:
    """Frames a second that the configuration states; None where only the source knows."""
    camera = configuration.camera
    return camera.capture_rate_hz if isinstance(camera, ClipSettings) else camera.rate_hz


def _names(configuration: Configuration) -> Iterator[Contradiction]:
    vibration = configuration.vibration
    named = [
        (("vibration", "regions", at, "name"), each.name) for at, each in enumerate(vibration.regions)
    ] + [(("vibration", "modes", at, "name"), each.name) for at, each in enumerate(vibration.modes)]
    seen: set[str] = set()
    for path, name in named:
        if name == CAMERA:
            yield path, "means the camera itself", "choose another name"
        if name in seen:
            yield path, "is the name of another region or mode", "give each a name of its own"
        seen.add(name)
    alarms: set[str] = set()
    for at, alarm in enumerate(vibration.alarms):
        if alarm.name in alarms:
            yield (
                ("vibration", "alarms", at, "name"),
                "is the name of another alarm",
                "give each a name of its own",
            )
        alarms.add(alarm.name)


def _drawn(configuration: Configuration) -> Iterator[Contradiction]:
    if isinstance(configuration.camera, SyntheticCameraSettings):
        yield from _fault_of(("camera",), partial(drawn_settings, configuration.camera))


def _regions(configuration: Configuration) -> Iterator[Contradiction]:
    size = configuration.camera.size_px
    if size is None:
        return
    vibration, magnification = configuration.vibration, configuration.magnification
    groups: list[tuple[KeyPath, tuple[RectangleSettings, ...]]] = [
        (("vibration", "regions"), vibration.regions),
        (("vibration", "still"), vibration.still),
        (("magnification", "regions"), magnification.regions),
    ]
    for path, rectangles in groups:
        for at, rectangle in enumerate(rectangles):
            yield from _fault_of((*path, at), partial(rectangle.region().check_inside, *size))


def _geometry(configuration: Configuration) -> Iterator[Contradiction]:
    """Files of lens and scale that are missing, damaged, or of another size than the camera's pictures."""
    camera, vibration = configuration.camera, configuration.vibration
    for at, region in enumerate(vibration.regions):
        if camera.lens is None:
            path: KeyPath = ("vibration", "scale", "file")
        else:
            path = ("camera", "lens")
        if region.scale is not None and region.scale.file is not None:
            path = ("vibration", "regions", at, "scale", "file")
        try:
            found = vibration.map_of(region, camera.lens)
            if found is not None and found.calibrated is not None and camera.size_px is not None:
                found.calibrated.check_size(*camera.size_px, "the calibrated picture")
        except Fault as fault:
            yield path, fault.what, fault.remedy
            return


def _alarms(configuration: Configuration) -> Iterator[Contradiction]:
    vibration = configuration.vibration
    for at, alarm in enumerate(vibration.alarms):
        for key, what, remedy in alarm.contradictions(vibration):
            yield ("vibration", "alarms", at, key), what, remedy
        rate_hz = rate_of(configuration)
        if rate_hz is not None and isinstance(alarm, (CurveAlarmSettings, StandardAlarmSettings)):
            refusal = coverage(alarm.criterion(), rate_hz).refusal
            if refusal:
                yield ("vibration", "alarms", at), f"nothing of it can be judged: {refusal}", "film faster"


def _bands(configuration: Configuration) -> Iterator[Contradiction]:
    rate_hz = rate_of(configuration)
    vibration = configuration.vibration
    edges = vibration.frequencies_hz
    if edges is not None and not edges[0] < edges[1]:
        yield ("vibration", "frequencies_hz"), "holds nothing", "give the lower frequency first"
    if rate_hz is None:
        return
    highest: list[tuple[KeyPath, float]] = [
        (("vibration", "modes", at, "high_hz"), mode.high_hz) for at, mode in enumerate(vibration.modes)
    ]
    if edges is not None:
        highest.append((("vibration", "frequencies_hz", 0), edges[0]))
    for path, frequency_hz in highest:
        if frequency_hz >= rate_hz / 2:
            what = f"cannot be seen at {rate_hz:g} frames a second"
            yield path, what, f"choose below {rate_hz / 2:g} Hz, or film faster"


def _analysis(configuration: Configuration) -> Iterator[Contradiction]:
    rate_hz, vibration = rate_of(configuration), configuration.vibration
    if rate_hz is None or not vibration.regions:
        return
    samples = vibration.analyse_over_s * rate_hz
    if samples < _FEWEST_SAMPLES:
        least_s = _FEWEST_SAMPLES / rate_hz
        what = f"holds {samples:.0f} frames at {rate_hz:g} a second, too few for a spectrum"
        yield ("vibration", "analyse_over_s"), what, f"give {least_s:.3g} or more"


def _magnification(configuration: Configuration) -> Iterator[Contradiction]:
    magnification, rate_hz = configuration.magnification, rate_of(configuration)
    has_bands = bool(magnification.bands_hz)
    if (magnification.mode == "band") != has_bands:
        path = ("magnification", "bands_hz" if has_bands else "mode")
        yield path, "and band mode go together", "give mode: band and bands_hz, or neither"
        return
    if magnification.mode == "band":
        band = magnification.wanted().band
        assert band is not None
        # Where only the source knows its rate, what does not depend on it is checked.
        usual_hz = rate_hz or 4 * max(
            *(edge for each in band.bands_hz for edge in each), *band.notches_hz, 1.0
        )
        yield from _fault_of(("magnification", "bands_hz"), lambda: design(band, usual_hz))
    yield from _bundle_faults(configuration)


def _bundle_faults(configuration: Configuration) -> Iterator[Contradiction]:
    magnification = configuration.magnification
    try:
        bundle = open_configured_bundle(configuration)
        if magnification.wanted().filters:
            bundle.graph_path("band")
    except Fault as fault:
        yield ("magnification", "bundle"), fault.what, fault.remedy
        return
    yield from _fault_of(
        ("magnification", "amplification"),
        lambda: check_amplification(magnification.amplification, bundle.manifest.amplification),
    )
    made_for, size = bundle.manifest.frame_size, configuration.camera.size_px
    if made_for is not None and size is not None and (made_for.width_px, made_for.height_px) != size:
        what = f"is made for {made_for.width_px}x{made_for.height_px} px, and the camera gives {size[0]}x{size[1]}"
        yield ("magnification", "bundle"), what, "export a bundle for any size, or change the camera's"


def _recording(configuration: Configuration) -> Iterator[Contradiction]:
    recording, size, rate_hz = configuration.recording, configuration.camera.size_px, rate_of(configuration)
    if recording is None or size is None or rate_hz is None:
        return
    yield from _fault_of(
        ("recording", "pre_roll_s"),
        lambda: slots_for(recording, FrameFormat(*size, rate_hz)),
    )


def _fault_of(path: KeyPath, attempt: Callable[[], object]) -> Iterator[Contradiction]:
    try:
        attempt()
    except Fault as fault:
        yield path, fault.what, fault.remedy
