"""Frames that stand for a clip: at irregular times, and a reference that is sharp."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import filmed, rgb, textured
from scipy import ndimage

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.jobs.samples import Reference, Samples, Span

SHARP = textured()
BLURRED = ndimage.gaussian_filter(SHARP, 3, mode="wrap")


def gathered(reference: Reference, blurred: int = 0, frames: int = 200) -> Samples:
    rng, samples = np.random.default_rng(0), Samples(Span(reference=reference))
    for number in range(frames):
        picture = rgb(filmed(BLURRED if number < blurred else SHARP, rng))
        picture[0, 0] = number % 256
        samples.add(picture, number / 50)
    return samples


def numbers(samples: Samples) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in samples.pictures()]


def test_no_vibration_looks_still_in_all_of_them() -> None:
    found = numbers(gathered("first"))
    assert found[0] == 0
    assert found[1:] == sorted(set(found[1:]))
    assert len(found) == 17
    phases = np.exp(2j * np.pi * np.outer(np.arange(1, 100) / 200, found))
    # At even times some frequency would give 1.
    assert np.abs(phases.mean(axis=1)).max() < 0.9


@pytest.mark.parametrize("reference", ["first", "auto"])
def test_a_sharp_first_frame_is_the_reference(reference: Reference) -> None:
    samples = gathered(reference)
    assert numbers(samples)[0] == 0
    assert samples.notes() == ()


def test_where_the_first_is_blurred_a_sharp_one_is() -> None:
    samples = gathered("auto", blurred=30)
    first = numbers(samples)[0]
    assert first >= 30
    assert samples.notes() == (
        f"displacement is measured against the frame at {first / 50:.3f} s: the first is less sharp",
    )


def test_a_named_time_is_the_reference() -> None:
    samples = gathered(1.5)
    assert numbers(samples)[0] == 75
    assert samples.notes() == ("displacement is measured against the frame at 1.500 s",)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Span(3.0, 2.0), "--start 3 --end 2: holds nothing"),
        (Span(-1.0), "holds nothing"),
        (Span(2.0, 4.0, 1.0), "--reference 1: not within"),
    ],
)
def test_a_span_that_holds_nothing_is_refused(span: Span, said: str) -> None:
    with pytest.raises(OptionFault, match=said):
        span.check()
