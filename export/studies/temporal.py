"""Effect of a temporal filter: static and band mode of one network on films of a vibrating, noisy picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tremorscope.export.graphs.band_graph import BandStep
from tremorscope.export.studies.runners import network_magnifier
from tremorscope.model.evaluation.evaluate import Conditions, PictureScore, Trial, score, summary
from tremorscope.model.evaluation.scenes import BORDER_PX, VIEW_PX, Frame, Scene, whole_frames
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.training.studies import TemporalStudy
from tremorscope.model.training.validation import ssim
from tremorscope.runtime.magnification.filters import BandSettings, design

_SEED = 0
_NO_LIMIT_PX = 1e3
STATIC, BAND = "static, no filter", "band"


def run_temporal(
    study: TemporalStudy, network: RealtimeNetwork, photographs: Sequence[Frame]
) -> Iterator[dict[str, Trial]]:
    """Judge both modes on the same films: a dictionary by mode for each noise level.

    Each photograph vibrates along a direction of its own. Judged are the frames at the crests, after the filter has
    settled, against the exact, noiseless picture; static mode compares with the first frame, as it does in use.
    """
    for sigma in study.noise_grey_levels:
        scores: dict[str, list[PictureScore]] = {STATIC: [], BAND: []}
        for index, scene in enumerate(whole_frames(photographs)):
            truth = np.clip(np.rint(scene.picture(study.magnified_px)), 0, 255).astype(np.uint8)
            for frame, shown in _crests(study, network, scene, sigma, _SEED + index):
                before = ssim(frame, truth, BORDER_PX)
                for name, picture in shown.items():
                    scores[name].append(score(picture, truth, scene, study.magnified_px, before))
        conditions = Conditions(study.displacement_px, study.magnified_px, sigma)
        yield {name: summary(conditions, found) for name, found in scores.items()}


def _crests(
    study: TemporalStudy, network: RealtimeNetwork, scene: Scene, sigma: float, seed: int
) -> Iterator[tuple[Frame, dict[str, Frame]]]:
    """Frames at the crests of the vibration, and the magnified frame of each mode."""
    amplification = study.magnified_px / study.displacement_px
    static, band = network_magnifier(network), BandFilm(network, study, amplification)
    first: Frame | None = None
    period_s = 1.0 / study.frequency_hz
    settled = math.ceil(study.settle_s * study.rate_hz)
    frames = settled + math.ceil(study.judged_periods * period_s * study.rate_hz)
    for number, (frame, displacement_px) in enumerate(film(study, scene, sigma, seed, frames)):
        first = frame if first is None else first
        shown = band.step(frame)
        is_crest = displacement_px > 0.999 * study.displacement_px
        if number >= settled and is_crest:
            yield frame, {STATIC: static(frame, first, amplification), BAND: shown}


def film(
    study: TemporalStudy, scene: Scene, sigma: float, seed: int, frames: int
) -> Iterator[tuple[Frame, float]]:
    """Frames of a scene that vibrates from rest on, u8[256, 256, 3], with its true displacement in px."""
    rng = np.random.default_rng(seed)
    exact: dict[float, np.ndarray] = {}  # a vibration comes back to the same few places
    for number in range(frames):
        displacement_px = study.displacement_px * math.sin(
            2 * math.pi * study.frequency_hz * number / study.rate_hz
        )
        at_px = round(displacement_px, 9)
        if at_px not in exact:
            exact[at_px] = scene.picture(at_px)
        noisy = exact[at_px] + rng.normal(0.0, sigma, exact[at_px].shape)
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8), displacement_px


class BandFilm:
    """Band mode over a film, frame by frame."""

    def __init__(self, network: RealtimeNetwork, study: TemporalStudy, amplification: float) -> None:
        self._step = BandStep(network).eval()
        self._filter = design(BandSettings((study.band_hz,)), study.rate_hz)
        cells = -(-VIEW_PX // self._step.cell_px)
        self._state = torch.zeros(2, self._filter.sections, network.config.shape_channels, cells, cells)
        self._mask = torch.ones(1, 1, cells, cells)
        self._amplification = torch.tensor([amplification])
        self._previous: Tensor | None = None
        self._steps = 0

    @torch.no_grad()
    def step(self, frame: Frame) -> Frame:
        """The next frame, magnified: u8[256, 256, 3] each."""
        now = torch.from_numpy(frame[None])
        previous = now if self._previous is None else self._previous
        coefficients = torch.from_numpy(
            np.asarray(self._filter.coefficients(self._steps + 1, 1.0), np.float32)
        )
        magnified, self._state, _ = self._step(
            now,
            previous,
            self._amplification,
            torch.tensor([_NO_LIMIT_PX]),
            self._mask,
            coefficients,
            self._state,
        )
        self._previous, self._steps = now, self._steps + 1
        pixels: Frame = magnified[0].numpy()
        return pixels
