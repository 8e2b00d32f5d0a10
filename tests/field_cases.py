"""Sweep of the small inputs from public reports: each row's right value against what the product says.

    python tests/field_cases.py [CASES] [--keep DIR]

CASES (by default ../shared/cases) makes the inputs with its make_clips.py and runs the service with its
run_service.py. Needs ffmpeg, mosquitto and curl; several minutes. Prints one row a case; the exit status is the number
of rows that differ.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROI, STILL = "--roi 60 80 64 64", "--still 230 80 64 64"
BANDS = "--roi 60 80 64 64 --roi 180 100 32 64"
BOTH = f"{ROI} {STILL}"
TOOL = (sys.executable, "-m", "tremorscope")
TONE = r"^([\d.]+) Hz +([\d.]+) ± [\d.]+ px(?: = ([\d.]+) ± [\d.]+ mm)?.*\(([\d.]+) ± ([\d.]+) Hz\)"


@dataclass(frozen=True)
class Case:
    """What `measure` must say of a clip."""

    clip: str
    options: str
    tones: tuple[tuple[float, float], ...] | None = None
    """All tones that it may list, with their amplitudes in px; None where it may refuse or list others."""
    says: str = ""
    """What stands in its lines."""
    mm: float | None = None
    """Amplitude of the first tone in mm."""
    within: float = 0.02
    """Relative error of amplitudes, and of mm."""


THREE = ((3.0, 0.4),)
CODED = 0.06
"""Compression to 0.1 bits a pixel leaves so much."""
CASES = (
    Case("dup15to30.mkv", BOTH, THREE, "90 of 180 frames repeat the one before and count as missing"),
    Case("dup25to30.mkv", BOTH, THREE, "30 of 180 frames repeat the one before and count as missing"),
    Case("stall.mkv", BOTH, THREE, "1 gaps of 30 frames"),
    Case("frozen.mkv", BOTH, (), "all 180 frames are one picture"),
    Case("ms240.mkv", BOTH, ((60.0, 0.3),)),
    Case("ms120.mkv", BOTH, ((25.0, 0.3),)),
    Case("interlaced.mp4", BOTH, None, r"are interlaced.* make a frame of each field first: ffmpeg "),
    Case("12:30:00.mp4", ROI, THREE, within=CODED),
    Case("2026-05-01T12:30:00.mp4", ROI, THREE, within=CODED),
    Case(os.fsdecode(b"caf\xe9.mp4"), ROI, THREE, within=CODED),
    Case("two_streams.mp4", "", THREE, "number 2 is read, the default one, 320x240 px", within=CODED),
    Case("burst2.mp4", BOTH, None, r"bursts of 2.*--capture-fps 30"),
    Case("burst3.mp4", BOTH, None, r"bursts of 3.*--capture-fps 30"),
    Case("burst2.mp4", f"{BOTH} --capture-fps 30", THREE, "bursts of 2"),
    Case("burst3.mp4", f"{BOTH} --capture-fps 30", THREE, "bursts of 3"),
    *(Case(f"bands_{bands}.mkv", BANDS, (), "lamps that flicker") for bands in ("96_5", "96_15", "160_10")),
    Case("bands_160_30.mkv", ROI, (), "lamps that flicker"),
    Case("large.mkv", "--roi 120 80 64 64", ((6.0, 0.3), (0.5, 20.0))),
    Case("sar.mp4", f"{ROI} --scale 2", ((3.0, 0.533),), "1.333 times as wide as high", mm=1.067, within=CODED),
    Case("bframes.avi", BOTH, THREE, "decode times", within=CODED),
    Case("lost_packet.ts", BOTH, None, "frame .* cannot be decoded: .* or keep what can be read: ffmpeg -i"),
    Case("pictures", ROI, None, "states no rate of capture: .*--capture-fps"),
    Case("pictures", f"{ROI} --capture-fps 30", THREE, within=CODED),
    Case("lapse.mp4", ROI, ((0.02, 0.4),)),
)  # fmt: skip
TURNED = {
    "mirrored.mp4": "hflip", "upside_down.mp4": "vflip", "transposed.mp4": "transpose=0",
}  # fmt: skip
SERVICE = {
    "A healthz": r"503|faults|frozen", "B HEAD": r": 200", "C live.jpg": r"(basic|token=): 200",
    "C2 page": r": 0 ", "D check": "is not a mount|no disk|OK|usable|ok", "E take-overs": r"35 s: 0 |logs: [1-9]",
    "F page knows": "refuses|no connection", "F lines": r"log: [1-9]", "G TLS": "refuse|run ends with runs",
    "G MQTT": "run ends with runs", "G clip": "run ends with runs",
}  # fmt: skip


def measured(clips: Path, case: Case) -> str:
    """Run `measure`; returns what differs, empty if nothing does."""
    with tempfile.TemporaryDirectory() as out:
        command = [*TOOL, "measure", case.clip, "-o", f"{out}/r", *case.options.split()]
        ran = subprocess.run(
            command, cwd=clips, capture_output=True, text=True, errors="replace", check=False
        )
    said = ran.stdout + ran.stderr
    if "Traceback" in said:
        return "a traceback"
    if case.says and not re.search(case.says, said):
        return f"does not say {case.says!r}: {said.strip()[-300:]}"
    if case.tones is None:
        return ""
    if ran.returncode:
        return said.strip()
    return _tones_differ(
        case, [line for line in said.partition("not motion")[0].splitlines() if " Hz  " in line]
    )


def _tones_differ(case: Case, lines: list[str]) -> str:
    found = [re.match(TONE, line) for line in lines]
    assert case.tones is not None
    if len(found) != len(case.tones) or not all(found):
        return f"tones wanted {case.tones}: " + "; ".join(lines)
    for match, (hz, px) in zip(found, case.tones, strict=True):
        assert match is not None
        seen_hz, sigma_hz, seen_px = float(match[4]), float(match[5]), float(match[2])
        if abs(seen_hz - hz) > 3 * sigma_hz + 0.0005 or abs(seen_px / px - 1) > case.within:
            return f"wanted {hz} Hz of {px} px: {match[0]}"
        if case.mm is not None and abs(float(match[3]) / case.mm - 1) > case.within:
            return f"wanted {case.mm} mm: {match[0]}"
    return ""


def turned(clips: Path, name: str, how: str) -> str:
    """Compare the first picture of a turned clip with ffmpeg's own; returns what differs."""
    import av
    import numpy as np

    from tremorscope.runtime.cameras.recordings import frame_of, open_recording

    camera = open_recording(clips / name)
    frame, read = frame_of(camera)
    read()
    shown = frame if frame.ndim == 2 else frame[..., 1]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(clips / name),
        "-frames:v",
        "1",
        "-c:v",
        "ffv1",
        "-f",
        "matroska",
    ]
    with tempfile.NamedTemporaryFile(suffix=".mkv") as file:
        subprocess.run([*command, "-y", file.name], check=True)
        with av.open(file.name) as container:
            wanted = next(container.decode(video=0)).to_ndarray(format="rgb24")[..., 1]
    camera.close()
    if shown.shape != wanted.shape:
        return f"{shown.shape} px for {wanted.shape} ({how})"
    off = float(np.abs(shown.astype(float) - wanted).mean())
    return "" if off < 2 else f"grey levels differ by {off:.1f} ({how})"


def sound_is_told(clips: Path) -> str:
    """Magnify a clip with sound: it is kept, or a line says that it is not."""
    with tempfile.TemporaryDirectory() as out:
        command = [*TOOL, "magnify", "sound.mp4", "-o", f"{out}/o.mp4", "-a", "5"]
        ran = subprocess.run(command, cwd=clips, capture_output=True, text=True, check=False)
        probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type", f"{out}/o.mp4"]
        streams = subprocess.run(probe, capture_output=True, text=True, check=False).stdout
    return "" if "audio" in streams or "sound" in ran.stdout else f"{ran.stdout}{ran.stderr}"[-300:]


def served(cases: Path, clips: Path) -> dict[str, str]:
    """Run the service's cases; what differs, by row."""
    with tempfile.TemporaryDirectory() as scratch:
        tool = Path(scratch) / "tremorscope"
        tool.write_text(f'#!/bin/sh\nexec {" ".join(TOOL)} "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        command = [sys.executable, "-u", str(cases / "run_service.py"), str(tool), str(clips)]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = {}
    for key, wanted in SERVICE.items():
        lines = [line.partition("| wanted")[0] for line in said.splitlines() if line.startswith(key)]
        rows[f"service {key}"] = "" if lines and re.search(wanted, lines[0]) else str(lines)
    return rows


def main() -> int:
    """Sweep all, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared" / "cases")
    parser.add_argument("--keep", type=Path, help="directory of the clips, made where it is not there")
    parser.add_argument("--no-service", action="store_true", help="clips alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clips = (asked.keep or Path(scratch) / "clips").resolve()
        if not clips.is_dir():
            subprocess.run([sys.executable, str(asked.cases / "make_clips.py"), str(clips)], check=True)
        found: dict[str, str] = {}
        for case in CASES:
            _tell(found, ascii(f"{case.clip} {case.options}"), measured(clips, case))
        for name, how in TURNED.items():
            _tell(found, name, turned(clips, name, how))
        _tell(found, "sound.mp4", sound_is_told(clips))
        if not asked.no_service:
            for name, what in served(asked.cases, clips).items():
                _tell(found, name, what)
    differ = sum(map(bool, found.values()))
    print(f"{len(found)} cases, {differ} differ")
    return min(differ, 100)


def _tell(found: dict[str, str], name: str, what: str) -> None:
    found[name] = what
    print(f"{'DIFFERS' if what else 'as wanted'}  {name}{': ' + what if what else ''}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
