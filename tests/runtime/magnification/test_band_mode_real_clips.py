"""Band mode on recordings of known motion: what moves at a frequency shows in its band, and in no other."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from support import ROOT, read_video, write_clip

from tremorscope.runtime.jobs.magnify import MagnifyJob, magnify_clip
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

CLIPS = ROOT.parent / "shared" / "clips"


def cut_out(name: str, region: Region, most: int, path: Path) -> Path:
    """A part of a recording as a clip of its own, without loss; skips where the recording is not at hand."""
    if not (CLIPS / name).is_file():
        pytest.skip(f"needs the recording {name} in {CLIPS.name}/ beside the repository")
    rows = slice(region.y_px, region.y_px + region.height_px)
    columns = slice(region.x_px, region.x_px + region.width_px)
    with av.open(str(CLIPS / name)) as container:
        pictures = (frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), most))
        return write_clip(path, (np.ascontiguousarray(each[rows, columns]) for each in pictures), rate=30)


def magnify(
    clip: Path,
    band: tuple[float, float],
    amplification: float,
    capture_rate_hz: float | None = None,
    bundle: str = "realtime",
) -> list[np.ndarray]:
    output = clip.with_name(f"{clip.stem}-{band[0]:g}-{band[1]:g}.mp4")
    magnify_clip(
        MagnifyJob(
            amplification,
            clip=clip,
            output=output,
            mode="band",
            band=BandSettings((band,)),
            capture_rate_hz=capture_rate_hz,
            bundle=Path(bundle),
            overwrite=True,
        )
    )
    return read_video(output)[0]


def displacements_px(pictures: list[np.ndarray], reference: np.ndarray, region: Region) -> np.ndarray:
    """Displacement along x and y in a region of each picture, (2, N)."""
    tracker = RegionTracker(reference, region)
    found = [tracker.measure(picture) for picture in pictures]
    return np.array([[each.x_px, each.y_px] for each in found]).T


def tone(values: np.ndarray, frequency_hz: float, rate_hz: float) -> np.ndarray:
    """Amplitude at a frequency along the last axis, by a Hann window."""
    count = values.shape[-1]
    window = np.hanning(count)
    turn = np.exp(-2j * np.pi * frequency_hz * np.arange(count) / rate_hz)
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(2 * np.abs((centred * window * turn).sum(axis=-1)) / window.sum())


def test_the_prongs_of_a_tuning_fork_show_in_its_band_and_in_none_beside_it(tmp_path: Path) -> None:
    """A fork of 64 Hz filmed at 500 frames/s, in a file that says 50."""
    region = Region(264, 60, 136, 96)
    clip = cut_out("nvva_tuning_hz64_fps500.mp4", region, 350, tmp_path / "fork.mp4")
    filmed = read_video(clip)[0]
    prongs = Region(11, 10, 50, 76), Region(76, 10, 50, 76)
    settled = slice(200, None)

    def swing_px(pictures: list[np.ndarray]) -> np.ndarray:
        return np.array(
            [tone(displacements_px(pictures[settled], filmed[0], prong)[0], 64.0, 500) for prong in prongs]
        )

    before_px = swing_px(filmed)
    at_it_px = swing_px(magnify(clip, (60, 68), 4.0, 500))
    by_nano_px = swing_px(magnify(clip, (60, 68), 4.0, 500, "nano"))
    beside_px = swing_px(magnify(clip, (40, 48), 4.0, 500))
    print(
        f"fork at 64 Hz: filmed {before_px.round(3)} px, in its band {at_it_px.round(3)}, "
        f"by nano {by_nano_px.round(3)}, beside {beside_px.round(3)}"
    )
    assert 0.9 < before_px.min() < before_px.max() < 1.2
    assert (at_it_px > 0.88 * 4 * before_px).all()
    assert (at_it_px < 1.1 * 4 * before_px).all()
    np.testing.assert_allclose(by_nano_px, 4 * before_px, rtol=0.1)  # free of the third order
    # The skirt of the band beside lets through a thirtieth, which is then amplified, too.
    np.testing.assert_allclose(beside_px, before_px, rtol=0.12)


def test_the_strings_of_a_guitar_are_picked_apart_by_band(tmp_path: Path) -> None:
    """E near 81 Hz, A near 109 Hz and D near 144 Hz, filmed at 600 frames/s; the file says 30."""
    clip = cut_out("guitar.mp4", Region(216, 32, 112, 96), 300, tmp_path / "guitar.mp4")
    strings_hz = (81.0, 109.0, 144.0)

    def shimmer(pictures: list[np.ndarray]) -> np.ndarray:
        levels = np.stack([each[:, 24:88].mean(axis=2) for each in pictures[100:]], axis=-1)
        return np.array([np.sqrt((tone(levels, each, 600) ** 2).mean()) for each in strings_hz])

    filmed = shimmer(read_video(clip)[0])
    for number, hz in enumerate(strings_hz):
        found = shimmer(magnify(clip, (hz - 5, hz + 5), 100.0, 600)) / filmed
        print(f"band {hz - 5:g} to {hz + 5:g} Hz: shimmer at {strings_hz} Hz times {found.round(2)}")
        assert found[number] > 5
        assert np.delete(found, number).max() < 1.5


def test_a_babys_breathing_shows_in_its_band_and_in_none_beside_it(tmp_path: Path) -> None:
    clip = cut_out("baby.mp4", Region(398, 178, 84, 84), 301, tmp_path / "baby.mp4")
    filmed = read_video(clip)[0]
    seam = Region(12, 12, 60, 60)

    def heave_px(pictures: list[np.ndarray]) -> float:
        return float(displacements_px(pictures[150:], filmed[0], seam)[1].std())

    before_px = heave_px(filmed)
    at_it_px, beside_px = heave_px(magnify(clip, (0.4, 0.8), 12.0)), heave_px(magnify(clip, (3.0, 6.0), 12.0))
    print(f"chest heaves by {before_px:.3f} px rms, in its band {at_it_px:.3f}, beside {beside_px:.3f}")
    assert at_it_px > 5 * before_px
    assert beside_px == pytest.approx(before_px, rel=0.25)
