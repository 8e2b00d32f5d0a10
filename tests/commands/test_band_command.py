"""Band mode, regions, cap and refreshed reference as a person meets them on the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, Done, command_line, read_video, write_clip

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES


def trembling_clip(
    path: Path, seconds: float, *, rate: int = 30, size_px: tuple[int, int] = (64, 48)
) -> Path:
    """A clip whose left half flickers at 3 Hz and right half at 7 Hz, each by 4 grey levels, without loss."""
    width_px, height_px = size_px

    def frames() -> object:
        for number in range(round(seconds * rate)):
            picture = np.full((height_px, width_px, 3), 128, np.uint8)
            for half, frequency_hz in ((slice(0, width_px // 2), 3.0), (slice(width_px // 2, None), 7.0)):
                level = 128 + 4 * np.sin(2 * np.pi * frequency_hz * number / rate)
                picture[:, half] = np.floor(level + np.arange(height_px)[:, None, None] / height_px)
            yield picture

    return write_clip(path, frames(), rate=rate)  # type: ignore[arg-type]


def tone(pictures: list[np.ndarray], columns: slice, frequency_hz: float, rate_hz: float = 30) -> float:
    """Amplitude of the mean level of some columns at a frequency, over the last two seconds, in grey levels."""
    levels = np.array([picture[:, columns].mean() for picture in pictures[-round(2 * rate_hz) :]])
    n = np.arange(len(levels))
    return float(2 * np.abs((levels * np.exp(-2j * np.pi * frequency_hz * n / rate_hz)).mean()))


LEFT, RIGHT = slice(0, 28), slice(36, 64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trembling_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 6)


Magnified = Callable[..., tuple[list[str], list[np.ndarray]]]


@pytest.fixture
def magnified(run_here: Callable[..., Done]) -> Magnified:
    """What the command says and the pictures that it leaves."""

    def magnify(clip: Path, out: Path, bundle: Path, *options: object) -> tuple[list[str], list[np.ndarray]]:
        done = run_here("magnify", clip, "-o", out, "-a", 5, "--bundle", bundle, "--overwrite", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines(), read_video(out)[0]

    return magnify


def test_a_band_is_magnified_and_its_filter_reported(
    clip: Path, tmp_path: Path, linear_bundle: Path, magnified: Magnified
) -> None:
    lines, pictures = magnified(
        clip, tmp_path / "out.mp4", linear_bundle, "--mode", "band", "--band", 2.5, 3.5, "--order", 3
    )
    assert lines[1] == "magnified      5 times, band mode, network linear"
    assert lines[2] == "band           2.5 to 3.5 Hz, butterworth, order 3"
    assert lines[3] == (
        "filter         settles in 3.4 s, faded in by half of that; state 0.221 MB, designed for 30 Hz"
    )
    assert tone(pictures, LEFT, 3) == pytest.approx(20, rel=0.06)
    assert tone(pictures, RIGHT, 7) == pytest.approx(4, rel=0.12)


def test_two_bands_a_notch_and_other_filters_are_taken(
    clip: Path, tmp_path: Path, linear_bundle: Path, magnified: Magnified
) -> None:
    two = ("--mode", "band", "--band", 2, 4, "--band", 6, 8)
    lines, pictures = magnified(clip, tmp_path / "o.mp4", linear_bundle, *two, "--notch", 7)
    assert lines[2] == "band           2 to 4 Hz and 6 to 8 Hz, without 7 Hz, butterworth"
    assert tone(pictures, LEFT, 3) > 15, "a notch so narrow takes 6 s to settle"
    assert tone(pictures, RIGHT, 7) < 6
    _, pictures = magnified(clip, tmp_path / "o.mp4", linear_bundle, *two)
    assert tone(pictures, RIGHT, 7) == pytest.approx(20, rel=0.1)
    for kind in ("iir", "fir"):
        lines, pictures = magnified(
            clip, tmp_path / "o.mp4", linear_bundle, "--mode", "band", "--band", 2.5, 3.5, "--filter", kind
        )
        assert lines[2] == f"band           2.5 to 3.5 Hz, {kind}"
        assert tone(pictures, LEFT, 3) == pytest.approx(20, rel=0.06)


def test_a_capture_rate_moves_the_band(tmp_path: Path, linear_bundle: Path, magnified: Magnified) -> None:
    clip = trembling_clip(tmp_path / "clip.mp4", 6)  # 3 Hz of playback are 60 Hz of 600 frames a second
    lines, pictures = magnified(
        clip, tmp_path / "o.mp4", linear_bundle, "--mode", "band", "--band", 50, 70, "--capture-fps", 600
    )
    assert "designed for 600 Hz" in lines[3]
    assert tone(pictures, LEFT, 3) == pytest.approx(20, rel=0.06)
    assert tone(pictures, RIGHT, 7) == pytest.approx(4, rel=0.12)


def test_views_and_regions_work_together(
    clip: Path, tmp_path: Path, linear_bundle: Path, magnified: Magnified
) -> None:
    band = ("--mode", "band", "--band", 2, 8, "--roi", 4, 4, 20, 40, "--feather", 4)
    _, pictures = magnified(clip, tmp_path / "o.mp4", linear_bundle, *band)
    assert tone(pictures, slice(6, 22), 3) > 16
    assert tone(pictures, RIGHT, 7) == pytest.approx(4, rel=0.12)
    _, pictures = magnified(clip, tmp_path / "o.mp4", linear_bundle, *band, "--view", "split")
    assert tone(pictures, slice(6, 22), 3) == pytest.approx(4, rel=0.12), "the left half is as filmed"
    _, pictures = magnified(clip, tmp_path / "o.mp4", linear_bundle, *band, "--view", "difference")
    assert tone(pictures, slice(6, 22), 3) > 6
    assert tone(pictures, RIGHT, 7) < 0.3, "grey where nothing is magnified"


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_regions_serve_the_other_modes_as_well(
    clip: Path, tmp_path: Path, linear_bundle: Path, magnified: Magnified, mode: str
) -> None:
    _, whole = magnified(clip, tmp_path / "o.mp4", linear_bundle, "--mode", mode)
    _, pictures = magnified(
        clip, tmp_path / "o.mp4", linear_bundle, "--mode", mode, "--roi", 4, 4, 20, 40, "--feather", 4
    )
    assert tone(pictures, slice(6, 22), 3) == pytest.approx(tone(whole, slice(6, 22), 3), rel=0.1)
    assert tone(pictures, RIGHT, 7) == pytest.approx(4, rel=0.12)


def test_a_refreshed_reference_lets_go_of_what_has_changed_for_good(
    tmp_path: Path, linear_bundle: Path, magnified: Magnified
) -> None:
    levels = [100] * 30 + [110] * 150
    frames = (np.full((48, 64, 3), level, np.uint8) for level in levels)
    clip = write_clip(tmp_path / "clip.mp4", frames, rate=30)
    _, kept = magnified(clip, tmp_path / "o.mp4", linear_bundle)
    _, refreshed = magnified(clip, tmp_path / "o.mp4", linear_bundle, "--refresh", 1)
    assert kept[-1].mean() == pytest.approx(150, abs=2)
    assert refreshed[31].mean() == pytest.approx(150, abs=3)
    assert refreshed[-1].mean() == pytest.approx(110, abs=2)
    fading = np.diff([picture.mean() for picture in refreshed[31:]])
    assert fading.min() > -4, "it fades over seconds"


BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "no band": (("--mode", "band"), "band mode and a band go together: give --mode band with --band LOW HIGH"),
    "no mode": (("--band", 2, 3), "band mode and a band go together"),
    "above Nyquist": (("--mode", "band", "--band", 60, 68), "reaches 15 Hz, half of the 30 frames a second"),
    "upside down": (("--mode", "band", "--band", 3, 2), "give a lower edge above 0 Hz and an upper edge above that"),
    "one edge": (("--mode", "band", "--band", 3), "requires 2 arguments"),
    "order": (("--mode", "band", "--band", 2, 3, "--order", 9), "choose 1 to 4"),
    "order alone": (("--order", 2), "--order and --notch belong to --band"),
    "filter": (("--mode", "band", "--band", 2, 3, "--filter", "wavelet"), "'wavelet' is not one of"),
    "too narrow": (("--mode", "band", "--band", 2, 2.00001), "s to settle: widen the band"),
    "notch": (("--mode", "band", "--band", 2, 3, "--notch", 50), "it shows at 10 Hz"),
    "cap": (("--max-displacement", 0), "not a finite number above 0: give pixels"),
    "refresh in band mode": (("--mode", "band", "--band", 2, 3, "--refresh", 5), "leave --refresh out"),
    "refresh": (("--refresh", -1), "give the seconds in which it follows the scene"),
    "region outside": (("--roi", 50, 0, 40, 40), "reaches outside the picture of 64x48 px"),
    "feather": (("--roi", 0, 0, 40, 40, "--feather", -3), "give 0 px or more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_option_is_one_line_and_leaves_nothing(
    clip: Path, tmp_path: Path, linear_bundle: Path, run_here: Callable[..., Done], kind: str
) -> None:
    options, expected = BAD[kind]
    done = run_here("magnify", clip, "-o", tmp_path / "o.mp4", "-a", 5, "--bundle", linear_bundle, *options)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("tremorscope: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_a_band_graph_says_so(
    clip: Path, tmp_path: Path, linear_bundle: Path, run_here: Callable[..., Done]
) -> None:
    manifest = json.loads((linear_bundle / "manifest.json").read_text())
    del manifest["graphs"]["band"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "pairwise.onnx").write_bytes((linear_bundle / "pairwise.onnx").read_bytes())
    done = run_here("magnify", clip, "-o", tmp_path / "o.mp4", "-a", 5, "--bundle", tmp_path, "--refresh", 5)
    assert "has no band graph: export the bundle again from a network with a linear encoder" in done.stderr


def test_a_terminal_shows_how_long_it_settles(clip: Path, tmp_path: Path, linear_bundle: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = ("magnify", clip, "-o", tmp_path / "o.mp4", "-a", 5, "--bundle", linear_bundle)
    with subprocess.Popen(
        command_line(*arguments, "--mode", "band", "--band", 0.4, 0.5),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "120"},
    ):
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the terminal is gone with the last of those that wrote to it
                break
            if not chunk:
                break
            shown += chunk
    os.close(ours)
    left_s = [float(each) for each in re.findall(rb"settling: ([0-9.e+]+) s left", shown)]
    assert left_s
    assert left_s == sorted(left_s, reverse=True)


PEAK = """
import sys
sys.path.insert(0, {root!r})
from tremorscope import cli
try:
    cli.cli(sys.argv[1:], standalone_mode=False)
finally:
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM:")), file=sys.stderr)
"""


def peak_memory_mib(*arguments: object) -> float:
    """Largest resident memory of a run. Not getrusage: its figure outlives exec and would be the parent's."""
    command = [sys.executable, "-c", PEAK.format(root=str(ROOT)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return int(done.stderr.split()[-2]) / 1024


def test_ten_minutes_take_no_more_memory_than_ten_seconds(tmp_path: Path) -> None:
    """With the network that is shipped, where there is one of everything: state, buffers, planned memory."""
    peaks_mib = []
    for seconds in (10, 600):
        clip = trembling_clip(tmp_path / f"{seconds}.mp4", seconds, rate=4, size_px=(32, 32))
        options = ("-a", 5, "--mode", "band", "--band", 0.5, 1, "--threads", 1, "--overwrite")
        peaks_mib.append(
            peak_memory_mib(
                "magnify", clip, "-o", tmp_path / "o.mp4", "--bundle", SHIPPED_BUNDLES / "realtime", *options
            )
        )
    print(f"peak memory of 10 s and of 10 min: {peaks_mib[0]:.1f} and {peaks_mib[1]:.1f} MiB")
    # One frame and its encoded difference are 5 KiB: keeping those of 2360 more would take 12 MiB.
    assert peaks_mib[1] - peaks_mib[0] < 8
