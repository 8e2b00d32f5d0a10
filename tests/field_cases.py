"""Sweep of the small inputs from public reports: each row's right value against what the product says.

    python tests/field_cases.py [CASES] [--keep DIR]

CASES (by default ../shared/cases) makes the inputs with its make_clips.py and runs the service with its
run_service.py. Needs ffmpeg, mosquitto and curl; several minutes. Prints one row a case; the exit status is the number
of rows that differ.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "runtime" / "outputs"))
from mosquitto_rig import Broker, free_port, wait_until

ROI, STILL = "--roi 60 80 64 64", "--still 230 80 64 64"
BANDS = "--roi 60 80 64 64 --roi 180 100 32 64"
BOTH = f"{ROI} {STILL}"
TOOL = (sys.executable, "-m", "tremorscope")
DISK = {"previews_below_gb": 0.003, "clips_below_gb": 0.002, "series_below_gb": 0.001}
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
FROZEN = r'kind="frozen"} 1\.0.*alarm_raised.*source="camera"} 1\.0'
SERVICE = {
    "A healthz": r"no frame for .* \(frozen\)", "   ['tremorscope_camera_fault": FROZEN, "B HEAD": ": 200$",
    "C live.jpg": r"bearer: 200 basic: 401 \?token=: 401", "C2 page": ": 0$",
    "E take-overs": "35 s: 0 lines about MQTT in the logs: [1-9]", "G TLS": "a PEM file there.*ends with runs",
    "G MQTT": "a PEM file there.*ends with runs", "G clip": "check the path.*ends with (runs|75)",
}  # fmt: skip
"""What run_service.py prints, by how its lines begin. Players are let in where that is asked for, a missing mount is
told where one is required, and its broker may not read its file of passwords: those are `asked_for`, here."""


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
        rows[f"service {key.strip()}"] = "" if lines and re.search(wanted, lines[0].rstrip()) else str(lines)
    return rows


LOOK = "look-look-look-look"


class Running:
    """The service in a scratch directory, on a free port."""

    def __init__(
        self, scratch: Path, name: str, *, store: dict[str, Any] | None = None, **outputs: Any
    ) -> None:
        self.port = free_port()
        web = {"port": self.port} | outputs.pop("http", {})
        settings = {
            "version": 1,
            "name": name,
            "camera": {"kind": "synthetic", "width_px": 320, "height_px": 180, "rate_hz": 15},
            "store": {"directory": str(scratch / name), "disk": DISK} | (store or {}),
            "outputs": {"http": web} | outputs,
        }
        self.file = scratch / f"{name}.json"  # which is YAML
        self.file.write_text(json.dumps(settings), encoding="utf-8")
        self._log = scratch / f"{name}.log"

    def __enter__(self) -> Running:
        told = {"TREMORSCOPE_WEB_TOKEN": LOOK, "TREMORSCOPE_MQTT_PASSWORD": "wrong"}
        with self._log.open("w") as log:
            command = [*TOOL, "run", "--config", str(self.file)]
            self._process = subprocess.Popen(command, stderr=log, env=os.environ | told)
        wait_until(lambda: self.status("/healthz", f"Bearer {LOOK}") == 200, 120.0, self.file.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.ask("/api/state", f"Bearer {LOOK}")[1]))

    def status(self, path: str, authorization: str = "") -> int:
        return self.ask(path, authorization)[0]

    def ask(self, path: str, authorization: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()


def players(scratch: Path) -> str:
    """Players without a header of their own get in where ``players_need_no_header`` is set, with a token alone."""
    basic = "Basic " + base64.b64encode(f"anybody:{LOOK}".encode()).decode()
    with Running(scratch, "players", http={"players_need_no_header": True}) as service:
        wait_until(lambda: service.status("/live.jpg", basic) == 200, 60.0, "a picture within 3 s")
        seen = {
            "Basic": service.status("/live.jpg", basic),
            "?token=": service.status(f"/live.jpg?token={LOOK}"),
            "wrong": service.status("/live.jpg?token=wrong-wrong-wrong-wrong"),
            "state by ?token=": service.status(f"/api/state?token={LOOK}"),
        }
    return "" if list(seen.values()) == [200, 200, 401, 401] else str(seen)


def mount(scratch: Path) -> str:
    """A disk that must be mounted and is not: `check` warns, the service says so, and nothing is made in its place."""
    place = scratch / "media" / "usb-disk"
    store = {"directory": str(place / "bridge"), "require_mount": str(place)}
    with Running(scratch, "mount", store=store) as service:
        command = [*TOOL, "check", str(service.file)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        told, wanted = service.state()["storage"]["trouble"], f"no disk is mounted at {place}"
    seen = (checked.returncode, wanted in checked.stdout + checked.stderr, wanted in told, place.exists())
    return "" if seen == (0, True, True, False) else f"{seen}: {checked.stderr}{told}"


def refusing_broker(scratch: Path) -> str:
    """A broker that refuses the login: page and log say so, each edge in one line; the right one is taken."""
    (scratch / "broker").mkdir()
    passwords = scratch / "broker" / "passwords"
    passwords.touch(mode=0o600)
    add = ["mosquitto_passwd", "-b", str(passwords), "bridge"]
    subprocess.run([*add, "right"], check=True, capture_output=True)
    broker = Broker(scratch / "broker", "allow_anonymous false", f"password_file {passwords}").start()
    mqtt = {"host": "127.0.0.1", "port": broker.port, "username": "bridge"}
    try:
        with Running(scratch, "refused", mqtt=mqtt) as service:
            refusal = "refuses the connection: Not authorized"
            wait_until(lambda: refusal in service.state()["outputs"].get("mqtt", ""), 60.0, refusal)
            time.sleep(5)
            broker.stop()
            subprocess.run([*add, "wrong"], check=True, capture_output=True)
            broker.start()
            wait_until(lambda: service.state()["outputs"]["mqtt"] == "", 120.0, "the right password")
            lines = [line for line in service.log().splitlines() if "output mqtt" in line]
    finally:
        broker.stop()
    return "" if len(lines) == 2 and refusal in lines[0] and "works again" in lines[1] else str(lines)


def asked_for() -> dict[str, str]:
    """Cases of the service with settings of their own; what differs, by row."""
    rows = {}
    for case in (players, mount, refusing_broker):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                rows[f"service {case.__name__}"] = case(Path(scratch))
            except AssertionError as error:
                rows[f"service {case.__name__}"] = f"waited in vain: {error}"
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
            for name, what in (served(asked.cases, clips) | asked_for()).items():
                _tell(found, name, what)
    differ = sum(map(bool, found.values()))
    print(f"{len(found)} cases, {differ} differ")
    return min(differ, 100)


def _tell(found: dict[str, str], name: str, what: str) -> None:
    found[name] = what
    print(f"{'DIFFERS' if what else 'as wanted'}  {name}{': ' + what if what else ''}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
