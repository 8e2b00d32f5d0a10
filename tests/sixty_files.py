"""Sixty files as the public has them, drawn with one tone each, and measured: ``python tests/sixty_files.py``.

Containers, codecs, bit depths, colours, rates and faults of time. Each is either measured (frequency within 0.1 %,
amplitude within 5 %) or refused with the cause; the script prints the table and fails where neither holds.
`test_sixty_files.py` runs a part of them.
"""

from __future__ import annotations

import functools
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from raw_recordings import HEIGHT_PX, WIDTH_PX, drawn, frequency_hz, names, write_cine, write_mraw
from scenes import shifted, textured
from scipy import ndimage

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.regions import Region

os.environ["SVT_LOG"] = "0"  # an encoder that chats
Pictures = NDArray[np.uint8]
RATE_HZ, FRAMES, TONE_HZ, AMPLITUDE_PX = 25, 128, 3.3, 0.4
REGION = Region(16, 8, 64, 48)
FREQUENCY_ERROR, AMPLITUDE_ERROR = 1e-3, 0.05


@dataclass(frozen=True)
class PublicFile:
    """One file: how it is made, and what must come of it."""

    name: str
    make: Callable[[Path], Path]
    tone_hz: float = TONE_HZ
    capture_rate_hz: float | None = None
    refused: str = ""
    """Words of the refusal, where the file cannot be measured."""
    noted: str = ""
    """Words of a note that must stand beside the result."""
    weakened: bool = False
    """True for strong compression, which weakens small motion: that must be noted, and be no more than a third."""


@functools.cache
def filmed(rate_hz: float = RATE_HZ, frames: int = FRAMES, tone_hz: float = TONE_HZ) -> Pictures:
    """Pictures (N, 64, 96, 3), a coloured texture that swings along x, with a camera's noise."""
    return filmed_at(tuple(number / rate_hz for number in range(frames)), tone_hz)


def filmed_at(times_s: Sequence[float], tone_hz: float = TONE_HZ) -> Pictures:
    """The same at any times."""
    rng = np.random.default_rng(4)
    scene = ndimage.gaussian_filter(textured(3, side=WIDTH_PX), 0.6, mode="wrap")
    grey = np.stack(
        [shifted(scene, AMPLITUDE_PX * np.sin(2 * np.pi * tone_hz * each), 0)[:HEIGHT_PX] for each in times_s]
    )
    coloured = (grey + 0.5 * rng.standard_normal(grey.shape))[..., None] * (1.0, 0.95, 0.9)
    return np.clip(np.rint(coloured), 0, 255).astype(np.uint8)


def encode(
    path: Path,
    pictures: Pictures,
    codec: str,
    pixel_format: str,
    *,
    rate: Fraction | float = RATE_HZ,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    prepare: Callable[[Any, Any], None] = lambda _container, _stream: None,
) -> Path:
    """A video; ``prepare`` changes container and stream before the first frame."""
    rate = Fraction(rate).limit_denominator(1001)
    base = time_base or 1 / rate
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], pixel_format
        stream.codec_context.time_base = base
        prepare(container, stream)
        for number, picture in enumerate(pictures):
            source = "rgb24" if picture.dtype == np.uint8 else "rgb48le"
            frame: Any = av.VideoFrame.from_ndarray(picture, source).reformat(format=pixel_format)
            frame.pts, frame.time_base = number if ticks is None else ticks[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def video(name: str, codec: str, pixel_format: str, **options: Any) -> Callable[[Path], Path]:
    """Maker of a plain video of the tone."""
    rate = options.get("rate", RATE_HZ)
    return lambda folder: encode(folder / name, filmed(float(rate)), codec, pixel_format, **options)


FINE, WEB, POOR = {"crf": "12"}, {"crf": "23"}, {"crf": "28"}
MILLISECOND = Fraction(1, 1000)


def in_milliseconds(folder: Path) -> Path:
    """59.94 frames/s, whose times Matroska rounds to milliseconds."""
    rate = Fraction(60000, 1001)
    ticks = [round(1000 * number / rate) for number in range(2 * FRAMES)]
    pictures = filmed(float(rate), 2 * FRAMES)
    return encode(
        folder / "c.mkv",
        pictures,
        "libx264",
        "yuv420p",
        rate=rate,
        options={"crf": "4"},
        ticks=ticks,
        time_base=MILLISECOND,
    )


def fragmented(folder: Path) -> Path:
    muxing = {"movflags": "frag_keyframe+empty_moov"}
    return encode(folder / "c.mp4", filmed(), "libx264", "yuv420p", options=FINE, muxing=muxing)


def woven(folder: Path) -> Path:
    """Interlaced: the odd rows are filmed half an interval after the even ones."""
    fields = filmed(2 * RATE_HZ, 2 * FRAMES)
    pictures = fields[::2].copy()
    pictures[:, 1::2] = fields[1::2, 1::2]
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1", "crf": "4"}
    return encode(folder / "c.mkv", pictures, "libx264", "yuv420p", options=options)


def fast(folder: Path) -> Path:
    return encode(folder / "c.mp4", filmed(240, 600), "libx264", "yuv420p", rate=240, options=FINE)


def uneven(folder: Path) -> Path:
    """A phone in poor light: every interval is another, as its times say."""
    rng = np.random.default_rng(7)
    ticks = np.cumsum(rng.integers(28, 52, 2 * FRAMES))
    pictures = filmed_at(ticks / 1000)
    return encode(
        folder / "c.mp4",
        pictures,
        "libx264",
        "yuv420p",
        options=FINE,
        ticks=ticks.tolist(),
        time_base=MILLISECOND,
    )


def with_lost_frames(folder: Path) -> Path:
    """A camera that lost one frame in twenty, whose times say so."""
    kept = [number for number in range(2 * FRAMES) if number % 20 != 13]
    pictures = filmed(frames=2 * FRAMES)[kept]
    return encode(folder / "c.mkv", pictures, "libx264", "yuv420p", options=FINE, ticks=kept)


def converted(source: int, target: int, codec: str) -> Callable[[Path], Path]:
    """A conversion to a higher rate by doubling frames."""

    def make(folder: Path) -> Path:
        count = 2 * FRAMES
        pictures = filmed(float(source), count)[[number * source // target for number in range(count)]]
        return encode(
            folder / "c.mkv",
            pictures,
            codec,
            "yuv420p",
            rate=target,
            options=FINE if codec == "libx264" else {},
        )

    return make


def stalled(folder: Path) -> Path:
    """A network camera that sent one frame thirty times."""
    pictures = filmed(frames=3 * FRAMES).copy()
    pictures[150:180] = pictures[149]
    return encode(folder / "c.mkv", pictures, "ffv1", "yuv420p")


def frozen(folder: Path) -> Path:
    return encode(
        folder / "c.mp4", np.repeat(filmed()[:1], FRAMES, axis=0), "libx264", "yuv420p", options=FINE
    )


def cut(folder: Path) -> Path:
    path = video("c.mp4", "libx264", "yuv420p", muxing={"movflags": "+faststart"})(folder)
    path.write_bytes(path.read_bytes()[:-4000])
    return path


def without_index(folder: Path) -> Path:
    path = video("c.mp4", "libx264", "yuv420p")(folder)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    return path


def backwards(folder: Path) -> Path:
    """Times that go back, as two recordings put together without care have them."""
    path = video("c.mkv", "ffv1", "yuv420p")(folder)
    # A Matroska block starts with its track, its time in ms (16 bits) and its flags (RFC 9559, 10.2).
    path.write_bytes(path.read_bytes().replace(b"\x81\x00\x50", b"\x81\x00\x28", 1))
    return path


def growing(folder: Path) -> Path:
    """A picture that changes its size on the way, in one raw stream."""
    first = encode(folder / "a.h264", filmed()[:64], "libx264", "yuv420p").read_bytes()
    second = encode(folder / "b.h264", filmed()[64:, :48], "libx264", "yuv420p").read_bytes()
    (folder / "c.h264").write_bytes(first + second)
    return folder / "c.h264"


def blank(folder: Path, name: str, codec: str) -> Path:
    """A hole of zeros in the middle, as a failing card leaves it."""
    path = encode(folder / name, filmed(), codec, "yuv420p", options={} if codec == "ffv1" else FINE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    return path


def turned(folder: Path) -> Path:
    """Filmed with the phone on its head."""
    path = video("c.mov", "libx264", "yuv420p", options=FINE)(folder)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", -1 << 16, 0, 0, 0, -1 << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def of_full_range(container: Any, stream: Any) -> None:  # noqa: ARG001
    stream.codec_context.color_range, stream.codec_context.colorspace = 2, 1


def of_wide_pixels(container: Any, stream: Any) -> None:  # noqa: ARG001
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


def with_preview(container: Any, stream: Any) -> None:  # noqa: ARG001
    """A second, smaller video in the same file, which stands still."""
    small: Any = container.add_stream("ffv1", rate=RATE_HZ)
    small.height, small.width, small.pix_fmt = 32, 48, "yuv420p"
    for number in range(FRAMES):
        frame = av.VideoFrame(48, 32, "yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, RATE_HZ)
        container.mux(small.encode(frame))
    container.mux(small.encode(None))


def with_sound(container: Any, stream: Any) -> None:  # noqa: ARG001
    sound: Any = container.add_stream("aac", rate=48000)
    frame: Any = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate = 48000
    container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def sound_alone(folder: Path) -> Path:
    with av.open(str(folder / "c.m4a"), "w") as container:
        with_sound(container, None)
    return folder / "c.m4a"


def text(folder: Path) -> Path:
    (folder / "c.mp4").write_text("not a clip\n" * 50)
    return folder / "c.mp4"


def one_frame(folder: Path) -> Path:
    return encode(folder / "c.mp4", filmed()[:1], "libx264", "yuv420p")


def deep_video(name: str, codec: str, pixel_format: str, **options: Any) -> Callable[[Path], Path]:
    """A video of the tone in 16 bits, from which the codec takes what it holds."""
    return lambda folder: encode(
        folder / name, filmed().astype(np.uint16) * np.uint16(257), codec, pixel_format, **options
    )


def y16(folder: Path) -> Path:
    """Raw 16-bit grey by the name that machine-vision programs give it; FFmpeg names no pixels at all."""
    path = deep_video("c.avi", "rawvideo", "gray16le")(folder)
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 24
    data[at : at + 4] = b"Y16 "
    path.write_bytes(data)
    return path


def photron(folder: Path) -> Path:
    return write_mraw(folder / "c.cihx", drawn(12))


def phantom(folder: Path) -> Path:
    return write_cine(folder / "c.cine", drawn(10), packing=256, real_bits=10)


def png_folder(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for path, picture in zip(names(folder / "frames", ".png", range(FRAMES)), filmed(), strict=True):
        Image.fromarray(picture).save(path)
    return folder / "frames"


def jpeg_pattern(folder: Path) -> Path:
    for path, picture in zip(names(folder, ".jpg", range(FRAMES)), filmed(), strict=True):
        Image.fromarray(picture).save(path, quality=92)
    return folder / "shot_%d.jpg"


def tiff_pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "c.tif", drawn(12), photometric="minisblack", compression="zlib")
    return folder / "c.tif"


def array_file(folder: Path) -> Path:
    np.save(folder / "c.npy", drawn(10))
    return folder / "c.npy"


def zipped_array(folder: Path) -> Path:
    np.savez_compressed(folder / "c.npz", frames=filmed(), rate_hz=RATE_HZ)
    return folder / "c.npz"


def deep_tiffs(folder: Path) -> Path:
    for path, picture in zip(names(folder, ".tif", range(FRAMES)), filmed(), strict=True):
        tifffile.imwrite(path, picture.astype(np.uint16) * 257, photometric="rgb")
    return folder


def gap_in_names(folder: Path) -> Path:
    kept = [number for number in range(FRAMES) if number % 25 != 11]
    for path, picture in zip(names(folder, ".png", kept), filmed()[kept], strict=True):
        Image.fromarray(picture).save(path)
    return folder


X264 = {"codec": "libx264", "pixel_format": "yuv420p"}
QUIET = {"x265-params": "log-level=none"}
FINEST = {"qmin": "1", "qmax": "1", "b": "30M"}
NTSC = Fraction(30000, 1001)

CONTAINERS = [
    PublicFile("mp4 h264", video("c.mp4", **X264, options=FINE)),
    PublicFile("mp4 h264, of the web", video("c.mp4", **X264, options=WEB), weakened=True),
    PublicFile("mp4 h264, poor", video("c.mp4", **X264, options=POOR), weakened=True),
    PublicFile("mp4 h264, b-frames", video("c.mp4", **X264, options=FINE | {"bf": "3"})),
    PublicFile("mp4 h264, all key frames", video("c.mp4", **X264, options=FINE | {"g": "1"})),
    PublicFile("mp4 h264, fragmented", fragmented),
    PublicFile("mp4 h264, with sound", video("c.mp4", **X264, options=FINE, prepare=with_sound)),
    PublicFile("mp4 hevc", video("c.mp4", "libx265", "yuv420p", options={"crf": "8"} | QUIET)),
    PublicFile("mp4 hevc, of the web", video("c.mp4", "libx265", "yuv420p", options=WEB | QUIET), weakened=True),
    PublicFile("mp4 av1, of the web", video("c.mp4", "libsvtav1", "yuv420p", options={"crf": "25"}), weakened=True),
    PublicFile("mp4 mpeg-4", video("c.mp4", "mpeg4", "yuv420p", options=FINEST)),
    PublicFile("mov prores", video("c.mov", "prores_ks", "yuv422p10le")),
    PublicFile("mov motion jpeg", video("c.mov", "mjpeg", "yuvj420p", options={"b": "20M"})),
    PublicFile("mov png", video("c.mov", "png", "rgb24")),
    PublicFile("mov animation", video("c.mov", "qtrle", "rgb24")),
    PublicFile("mov turned by 180 degrees", turned),
    PublicFile("mkv h264", video("c.mkv", **X264, options=FINE)),
    PublicFile("mkv ffv1", video("c.mkv", "ffv1", "yuv444p")),
    PublicFile("avi utvideo", video("c.avi", "utvideo", "gbrp")),
    PublicFile("webm vp8", video("c.webm", "libvpx", "yuv420p", options={"b": "20M", "qmax": "4"})),
    PublicFile("webm vp9", video("c.webm", "libvpx-vp9", "yuv420p", options={"lossless": "1"})),
    PublicFile("avi h264, b-frames", video("c.avi", **X264, options=FINE | {"bf": "3"}), noted="no presentation times"),
    PublicFile("avi mpeg-4", video("c.avi", "mpeg4", "yuv420p", options=FINEST)),
    PublicFile("avi motion jpeg", video("c.avi", "mjpeg", "yuvj422p", options={"b": "20M"})),
    PublicFile("avi huffyuv", video("c.avi", "huffyuv", "yuv422p")),
    PublicFile("avi raw", video("c.avi", "rawvideo", "bgr24")),
    PublicFile("wmv", video("c.wmv", "wmv2", "yuv420p", options=FINEST)),
    PublicFile("flv", video("c.flv", "flv", "yuv420p", options=FINEST)),
    PublicFile("mpeg transport stream", video("c.ts", **X264, options=FINE)),
    PublicFile("mpeg program stream", video("c.mpg", "mpeg2video", "yuv420p", options=FINEST)),
    PublicFile("mxf", video("c.mxf", "mpeg2video", "yuv422p", options=FINEST)),
    PublicFile("3gp", video("c.3gp", **X264, options=FINE)),
    PublicFile("raw h264 stream", video("c.h264", **X264, options=FINE)),
    PublicFile("gif", video("c.gif", "gif", "gray")),
    PublicFile("animated png", video("c.apng", "apng", "rgb24")),
    PublicFile("mp4 with a preview beside", video("c.mp4", **X264, options=FINE, prepare=with_preview)),
    PublicFile("mp4 of pixels that are not square", video("c.mp4", **X264, options=FINE, prepare=of_wide_pixels)),
    PublicFile("interlaced", woven, noted="interlaced"),
    PublicFile("mpeg-1", video("c.mpg", "mpeg1video", "yuv420p", options=FINEST)),
    PublicFile("avi divx 3", video("c.avi", "msmpeg4", "yuv420p", options=FINEST)),
    PublicFile("avi jpeg 2000", video("c.avi", "jpeg2000", "yuv420p", options={"qmax": "1"})),
    PublicFile("avi ffvhuff", video("c.avi", "ffvhuff", "yuv420p")),
    PublicFile("avi cinepak", video("c.avi", "cinepak", "rgb24"), weakened=True),
    PublicFile("mov cineform", video("c.mov", "cfhd", "yuv422p10le")),
    PublicFile("mov v210", video("c.mov", "v210", "yuv422p10le")),
    PublicFile("avi magicyuv", video("c.avi", "magicyuv", "gbrp")),
    PublicFile("realmedia", video("c.rm", "rv10", "yuv420p", options=FINEST)),
    PublicFile("yuv4mpeg", video("c.y4m", "rawvideo", "yuv420p")),
]  # fmt: skip
DEPTHS = [
    PublicFile("hevc, 10 bit", deep_video("c.mp4", "libx265", "yuv420p10le", options={"crf": "8"} | QUIET)),
    PublicFile("h264, 10 bit 4:2:2", deep_video("c.mkv", "libx264", "yuv422p10le", options=FINE)),
    PublicFile("ffv1, 16 bit grey", deep_video("c.mkv", "ffv1", "gray16le")),
    PublicFile("prores, 10 bit 4:4:4", deep_video("c.mov", "prores_ks", "yuv444p10le")),
    PublicFile("h264, full range bt.709", video("c.mp4", **X264, options=FINE, prepare=of_full_range)),
    PublicFile("h264, 4:4:4", video("c.mp4", "libx264", "yuv444p", options=FINE)),
    PublicFile("hevc, 12 bit", deep_video("c.mkv", "libx265", "yuv420p12le", options={"crf": "8"} | QUIET)),
    PublicFile("av1, 10 bit", deep_video("c.mp4", "libsvtav1", "yuv420p10le", options={"crf": "10"})),
    PublicFile("ffv1, 4:1:1", video("c.mkv", "ffv1", "yuv411p")),
    PublicFile("ffv1, 10 bit rgb", deep_video("c.mkv", "ffv1", "gbrp10le")),
    PublicFile("avi y16, raw", y16),
    PublicFile("h264, grey", video("c.mkv", "libx264", "gray", options=FINE)),
]
TIMES = [
    PublicFile("23.976 frames/s", video("c.mp4", **X264, options=FINE, rate=Fraction(24000, 1001))),
    PublicFile("29.97 frames/s", video("c.mp4", **X264, options=FINE, rate=NTSC)),
    PublicFile("59.94 frames/s in milliseconds", in_milliseconds),
    PublicFile("240 frames/s", fast),
    PublicFile("times of a phone, all uneven", uneven),
    PublicFile("lost frames that the times show", with_lost_frames, noted="missing"),
    PublicFile("24 to 30 frames/s by doubling", converted(24, 30, "ffv1"), noted="frames repeat"),
    PublicFile("25 to 60 frames/s by doubling", converted(25, 60, "libx264")),
    PublicFile("a stall of a second", stalled, noted="frames repeat"),
    PublicFile("played at 25, filmed at 1000", CONTAINERS[0].make, 40 * TONE_HZ, capture_rate_hz=1000.0),
]
PICTURES = [
    PublicFile("folder of png", png_folder, capture_rate_hz=25.0),
    PublicFile(
        "folder of png with gaps", gap_in_names, capture_rate_hz=25.0, noted="numbered pictures are missing"
    ),
    PublicFile("numpy archive", zipped_array),
    PublicFile("folder of tiff, 16 bit", deep_tiffs, capture_rate_hz=25.0),
    PublicFile("pattern of jpeg", jpeg_pattern, capture_rate_hz=25.0),
    PublicFile("tiff of pages, 12 bit", tiff_pages, frequency_hz(500), capture_rate_hz=500.0),
    PublicFile("numpy array, 10 bit", array_file, frequency_hz(500), capture_rate_hz=500.0),
    PublicFile("photron mraw, 12 bit packed", photron, frequency_hz(2000)),
    PublicFile("phantom cine, 10 bit packed", phantom, frequency_hz(1000)),
]
FAULTS = [
    PublicFile("every frame the same", frozen, noted="carried 100% of the picture over"),
    PublicFile("cut short", cut, refused="cut short"),
    PublicFile("without its index", without_index, refused="index of the recording (moov) is missing"),
    PublicFile("times that go back", backwards, refused="no time later than the frame before it"),
    PublicFile("a picture that changes its size", growing, refused="the picture changes from"),
    PublicFile("a hole in mp4", lambda folder: blank(folder, "c.mp4", "libx264"), refused="damaged: frame"),
    PublicFile("a hole in mkv", lambda folder: blank(folder, "c.mkv", "ffv1"), noted="gaps of"),
    PublicFile("sound alone", sound_alone, refused="holds no video"),
    PublicFile("text by the name of a video", text, refused="is not a video"),
    PublicFile("a folder without a rate", png_folder, refused="states no rate of capture"),
    PublicFile("one frame", one_frame, refused="too few to measure"),
]
FILES = [*CONTAINERS, *DEPTHS, *TIMES, *PICTURES, *FAULTS]


def judge(file: PublicFile, folder: Path) -> tuple[bool, str]:
    """True where what must hold of a file holds, and what came of it in a few words."""
    path = file.make(folder)
    try:
        found = measure_clip(MeasureJob(path, None, (REGION,), capture_rate_hz=file.capture_rate_hz))
    except Fault as fault:
        return bool(
            file.refused
        ) and file.refused in fault.what, f"refused: {fault.what.removeprefix(f'{path}: ')}"
    notes = "; ".join(found.notes())
    noted = file.noted in notes
    if not found.analysis.findings:
        return noted and bool(file.noted), f"nothing found: {notes}"
    peak = found.analysis.findings[0].peak
    off_hz, off_px = peak.frequency_hz / file.tone_hz - 1, peak.amplitude / AMPLITUDE_PX - 1
    good = abs(off_hz) <= FREQUENCY_ERROR and abs(off_px) <= AMPLITUDE_ERROR
    if file.weakened:
        good = (
            abs(off_hz) <= 6 * FREQUENCY_ERROR
            and -0.35 < off_px <= AMPLITUDE_ERROR
            and "compression" in notes
        )
    told = f"{peak.frequency_hz:.4f} Hz ({off_hz:+.3%}), {peak.amplitude:.4f} px ({off_px:+.1%})"
    return good and noted and not file.refused, told + (
        "" if noted else f"; not noted: {file.noted!r} in {notes!r}"
    )


def survey(files: Sequence[PublicFile]) -> Iterator[tuple[PublicFile, bool, str, float]]:
    """Every file with whether it holds, what came of it, and the seconds that it took."""
    for file in files:
        begun_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            good, told = judge(file, Path(folder))
        yield file, good, told, time.monotonic() - begun_s


def main() -> int:
    """Print the table."""
    av.logging.set_level(av.logging.PANIC)
    chosen = [file for file in FILES if not sys.argv[1:] or any(word in file.name for word in sys.argv[1:])]
    failed = 0
    for file, good, told, elapsed_s in survey(chosen):
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {file.name:<36} {told[:150]}  [{elapsed_s:.1f} s]", flush=True)
    print(f"\n{len(chosen) - failed} of {len(chosen)} hold")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
