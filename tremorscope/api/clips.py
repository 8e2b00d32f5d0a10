"""Magnify and measure recorded clips from Python, and draw one to try it on."""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import Literal

from typing_extensions import Unpack

from tremorscope.api.arguments import (
    Band,
    FileArguments,
    MagnifyArguments,
    MagnifyOptions,
    MeasureArguments,
    MeasureOptions,
    Rectangle,
    checked,
    tell_in_python,
)
from tremorscope.api.measurement import ClipMeasurement
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter, check_output
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.host.files import cannot_be_written
from tremorscope.runtime.host.progress import ProgressBar, progress_bar
from tremorscope.runtime.jobs.magnify import MagnifyJob, MagnifyReport, magnify_clip
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.vibration.displacement.geometry import read_lens, scale_or_plane
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.monitoring.standards import stated_criteria

_LARGEST_SHOWN_BYTES = 24 * 2**20
"""Size of a video up to which a notebook holds it."""
_SHOWN = ("mp4", "webm", "gif")
"""Kinds of files that browsers play."""
_EXAMPLE = SyntheticSettings(400, 224, rate_hz=25.0, duration_s=6.0)
_EXAMPLE_CODING = EncodingSettings(
    _EXAMPLE.width_px,
    _EXAMPLE.height_px,
    _EXAMPLE.rate_hz,
    1 / Fraction(_EXAMPLE.rate_hz),
    constant_rate_factor=0,
)


@dataclass(frozen=True)
class MagnifiedClip:
    """A magnified video, and the report of the job that wrote it."""

    report: MagnifyReport

    @property
    def path(self) -> Path:
        """The video."""
        return self.report.job.output

    def __str__(self) -> str:
        return "\n".join(self.report.lines())

    def __repr__(self) -> str:
        return f"<magnified clip: {self.path}>"

    def _repr_html_(self) -> str:
        report, kind = f"<pre>{escape(str(self))}</pre>", self.path.suffix.lower().removeprefix(".")
        try:
            if kind not in _SHOWN or self.path.stat().st_size > _LARGEST_SHOWN_BYTES:
                return report
            video = base64.b64encode(self.path.read_bytes()).decode("ascii")
        except OSError:  # it was moved or deleted since
            return report
        if kind == "gif":
            return f'<img src="data:image/gif;base64,{video}">{report}'
        return f'<video controls loop src="data:video/{kind};base64,{video}"></video>{report}'


@tell_in_python
def magnify(
    clip: str | Path,
    output: str | Path,
    amplification: float | Literal["auto"] = 20.0,
    band_hz: Band | Sequence[Band] | None = None,
    **options: Unpack[MagnifyOptions],
) -> MagnifiedClip:
    """Magnify the motion in a clip into a video, as ``tremorscope magnify`` does and with its defaults.

    Args:
        clip: a video, a file of raw frames, or pictures (docs/clips.md).
        output: the video to write (.mp4, .mkv, .webm or .gif), or a folder for PNG pictures; on any failure nothing is
            left of it.
        amplification: magnified over true displacement; below 1 motion is attenuated, and 0 freezes it. ``"auto"``
            measures the clip first and shows its largest steady motion as about 8 px.
        band_hz: edges of the band to magnify, or of two; None magnifies all motion since the first frame.
        **options: ``mode`` ("static", "dynamic" or "band"), ``filter_kind``, ``order`` and ``notches_hz`` of the
            band, ``regions`` (left, top, width and height in px of each), ``feather_px``, ``max_displacement_px``,
            ``refresh_s``, ``view`` ("magnified", "split" or "difference"), ``stabilise`` ("translation",
            "similarity" or "homography": takes the camera's motion out first), ``capture_rate_hz``, ``bundle``,
            ``runtime``, ``engines``, ``threads``, ``overwrite``, ``allow_inaccurate``; ``progress=True`` shows a bar.

    Raises:
        Fault: an argument cannot be used, the clip cannot be read, or the video cannot be written.
    """
    given = checked(
        "magnify",
        MagnifyArguments,
        {"clip": clip, "output": output, "amplification": amplification, "band_hz": band_hz, **options},
    )
    bands_hz, order, notches_hz = given.pop("band_hz"), given.pop("order", None), given.pop("notches_hz", ())
    kind = given.pop("filter_kind", "butterworth")
    if not bands_hz and (order is not None or notches_hz):
        raise OptionFault("order and notches_hz belong to a band", remedy="give band_hz=(low, high)")
    band = BandSettings(bands_hz, kind, order, tuple(notches_hz)) if bands_hz else None
    given.setdefault("mode", "band" if band else "static")
    regions = tuple(Region(*each) for each in given.pop("regions", ()))
    wanted = given.pop("progress", False)
    automatic = given["amplification"] == "auto"
    job = MagnifyJob(
        band=band,
        regions=regions,
        automatic=automatic,
        **given | ({"amplification": 1.0} if automatic else {}),
    )
    with _progress("magnify", wanted=wanted) as bar:
        report = magnify_clip(job, bar, None if bar is None else bar.note, None if bar is None else bar.line)
    return MagnifiedClip(report)


@tell_in_python
def measure(
    clip: str | Path,
    output: str | Path | None = None,
    regions: Sequence[Rectangle] = (),
    **options: Unpack[MeasureOptions],
) -> ClipMeasurement:
    """Measure displacement, frequencies and modes in a clip, as ``tremorscope measure`` does and with its defaults.

    >>> import tremorscope as ts
    >>> found = ts.measure(ts.example_clip(), regions=[(172, 114, 56, 20)])
    >>> round(found.peaks[0].frequency_hz, 1)
    2.1

    Args:
        clip: a video, a file of raw frames, or pictures (docs/clips.md).
        output: directory for report, tables and pictures; None leaves no files.
        regions: left, top, width and height in px of each region; none has some proposed.
        **options: ``still`` (regions of what cannot move), ``proposals``, ``capture_rate_hz``, the scale as
            ``mm_per_px`` (a number, or a file of ``calibrate scale``), ``scale_length`` (mm, px) or ``scale_optics``
            (m, mm, um), ``lens`` (a file of ``calibrate lens``), ``window_s``, ``band_hz``, ``baseline``
            (summary.json of an earlier measurement), ``start_s`` and ``end_s`` (the part that is measured),
            ``reference`` ("auto", "first" or the time of a frame), ``stabilise`` ("translation", "similarity" or
            "homography": takes the camera's motion out), ``standard`` and ``standard_class`` (and ``boundary``) or
            ``limits`` (quantity, statistic, unit, pairs of Hz and limit) to judge by, ``speed_rpm``, ``export`` (of
            "mat", "mseed"), ``ssi`` (also by stochastic subspaces), ``overwrite``; ``progress=True`` shows a bar.

    Raises:
        Fault: an argument cannot be used, the clip cannot be read, or the results cannot be written.
    """
    given = checked(
        "measure", MeasureArguments, {"clip": clip, "directory": output, "regions": regions, **options}
    )
    scale = scale_or_plane(
        given.pop("mm_per_px", None), given.pop("scale_length", None), given.pop("scale_optics", None)
    )
    lens_path = given.pop("lens", None)
    lens = read_lens(lens_path) if lens_path else None
    criteria = stated_criteria(
        given.pop("standard", None),
        given.pop("standard_class", None),
        given.pop("boundary", None),
        given.pop("limits", None),
        given.get("speed_rpm"),
    )
    for name in ("regions", "still"):
        given[name] = tuple(Region(*each) for each in given.get(name, ()))
    wanted = given.pop("progress", False)
    with _progress("measure", wanted=wanted) as bar:
        job = MeasureJob(scale=scale, lens=lens, criteria=criteria, **given)
        return ClipMeasurement(measure_clip(job, bar), given["directory"])


@contextmanager
def _progress(title: str, *, wanted: bool) -> Iterator[ProgressBar | None]:
    if not wanted:
        yield None
        return
    with progress_bar(title) as bar:
        yield bar


@tell_in_python
def example_clip(path: str | Path | None = None) -> Path:
    """Draw a clip of a footbridge that vibrates unseen: 6 s of 400x224 px at 25 frames/s, with sensor noise.

    Its first bending is 0.12 px at 2.1 Hz, largest at mid-span; its second 0.05 px at 4.7 Hz, at the quarters.

    Args:
        path: the MP4 to write; None keeps one in the user's cache and draws it only once.

    Returns:
        Its path.

    Raises:
        Fault: it cannot be written.
    """
    given = None if path is None else checked("example_clip", FileArguments, {"path": path})["path"]
    place: Path = given or _cached_example()
    if path is None and place.is_file():
        return place
    check_output(place, overwrite=path is None)
    camera = SyntheticCamera(_EXAMPLE)
    frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
    with VideoWriter(place, _EXAMPLE_CODING, comment="drawn by tremorscope", overwrite=path is None) as video:
        while (info := camera.read_into(frame)) is not None:
            video.write(frame, info.timestamp_s)
    return place


def _cached_example() -> Path:
    # One that another release has drawn is another clip.
    drawn = f"example-{zlib.crc32(repr((_EXAMPLE, _EXAMPLE_CODING)).encode()):08x}"
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tremorscope" / drawn
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(directory, error) from None
    return directory / "footbridge.mp4"
