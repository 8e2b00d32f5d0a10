"""Causes of the dead zone in small motion.

``python -m tremorscope.export.studies.small_motion_causes --photographs FOLDER``

Whole photographs are shifted, and displacements compared with what is asked: those of least squares by window, and the
network's, as it is and with one of its inputs replaced by that of a motion ten times as large. Each is a mean over the
frame, weighted by squared slopes, as a registration of the magnified picture would see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.evaluation.evaluate import Conditions, film
from tremorscope.model.evaluation.scenes import (
    BORDER_PX,
    Frame,
    Scene,
    read_evaluation_photographs,
    whole_frames,
)
from tremorscope.model.networks.flow import Equations
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights

AMPLIFICATION = 100.0
CASES = ((0.01, 0.0), (0.01, 1.0), (0.02, 0.0), (0.02, 1.0), (0.05, 1.0), (0.1, 1.0))
"""True displacement in px, and noise in grey levels."""
POWERS = (2, 3)
"""Powers of the unexplained share: less of it where some of the motion is explained, and all of it where none is."""
_SURE = 10.0
"""Displacement of the larger motion over that of the small one."""


@dataclass(frozen=True)
class Inputs:
    """Decoder inputs of one pair of frames."""

    frame: Tensor
    """1 x 3 x H x W in [0, 1]."""
    texture: Tensor
    motion: Tensor
    """Times gain, 1 x C x h x w."""
    found: Tensor
    """Least squares: 1 x 3 W x h x w."""
    equations: Equations

    @staticmethod
    def of(network: RealtimeNetwork, frame: Frame, reference: Frame, amplification: float) -> Inputs:
        """Encode a pair, u8[H, W, 3] each."""
        now, then = (
            torch.from_numpy(each[None]).permute(0, 3, 1, 2).float() / 255 for each in (frame, reference)
        )
        gain = torch.full((1, 1, 1, 1), amplification - 1.0)
        motion = network.motion(now - then)
        assert network.flow is not None
        equations = network.flow.equations(
            now - 0.5 * (now - then), motion, gain, network.shape_encoder.weight
        )
        found = network.flow.solve(equations)
        return Inputs(now, network.texture(now), gain * motion, found, equations)


def reached(
    network: RealtimeNetwork, scene: Scene, displacement_px: float, noise_grey_levels: float, seed: int
) -> dict[str, float]:
    """Displacements of one scene over those that were asked for, by name."""
    rng = np.random.default_rng(seed)
    asked = Conditions(displacement_px, AMPLIFICATION * displacement_px, noise_grey_levels)
    reference, frame, _ = film(scene, asked, rng)
    inputs = Inputs.of(network, frame, reference, AMPLIFICATION)
    sure = Conditions(_SURE * displacement_px, AMPLIFICATION * displacement_px)
    reference, frame, _ = film(scene, sure, rng)
    larger = Inputs.of(network, frame, reference, AMPLIFICATION / _SURE)
    direction = torch.tensor([np.cos(scene.angle), np.sin(scene.angle)]).float().reshape(1, 2, 1, 1)
    weight = _weight(inputs.frame)

    def share(displacement_added_px: Tensor) -> float:
        along = (displacement_added_px * direction).sum(dim=1, keepdim=True)
        along = along[:, :, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        return float((weight * along).sum() / weight.sum()) / ((AMPLIFICATION - 1.0) * displacement_px)

    def decoded(texture: Tensor, motion: Tensor, found: Tensor) -> float:
        features = torch.cat((texture, motion, found), dim=1)
        whole = torch.ones(1, 1, 1, 1)  # as outside training, all of the displacement
        given = network.decode_features(features, inputs.frame, inputs.equations, whole)
        return share(network.draw_with_displacement(inputs.frame, given)[1])

    results = {}
    windows = network.config.flow_windows_cells
    for number, window in enumerate(windows):
        cells = network.config.encoder_stride * inputs.found[:, 3 * number : 3 * number + 2]
        results[f"least squares, {window} cells"] = share(F.interpolate(cells, inputs.frame.shape[2:]))
    trusting = inputs.found.clone()
    trusting[:, 2::3] = larger.found[:, 2::3]
    calm = larger.found.clone()
    calm[:, 2::3] = inputs.found[:, 2::3]
    results["network"] = decoded(inputs.texture, inputs.motion, inputs.found)
    results["its unexplained share of the larger"] = decoded(inputs.texture, inputs.motion, trusting)
    for power in POWERS:
        bent = inputs.found.clone()
        bent[:, 2::3] = inputs.found[:, 2::3].clamp(0.0, 1.0) ** power
        results[f"its unexplained share to the power of {power}"] = decoded(
            inputs.texture, inputs.motion, bent
        )
    results["its displacements of the larger"] = decoded(inputs.texture, inputs.motion, calm)
    results["all of least squares of the larger"] = decoded(inputs.texture, inputs.motion, larger.found)
    results["its motion of the larger"] = decoded(inputs.texture, larger.motion, inputs.found)
    results["all but the texture of the larger"] = decoded(inputs.texture, larger.motion, larger.found)
    return results


def _weight(frame: Tensor) -> Tensor:
    luma = frame.mean(dim=1, keepdim=True)
    luma = F.avg_pool2d(luma, 3, 1, 1)
    x = luma[..., 1:-1, 2:] - luma[..., 1:-1, :-2]
    y = luma[..., 2:, 1:-1] - luma[..., :-2, 1:-1]
    weight = F.pad(x * x + y * y, (1, 1, 1, 1))
    return weight[:, :, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


@click.command()
@click.option("--photographs", type=click.Path(path_type=Path), required=True, help="Folder of photographs.")
@click.option("--most", type=click.IntRange(min=1), default=3, help="Judge on the first so many only.")
@click.option("--model", default="realtime", help="Name of shipped weights, or a file.")
def main(photographs: Path, most: int, model: str) -> None:
    """Print displacements over what is asked: a line a source, a column a case."""
    network = load_weights(find_weights(model)).network.eval()
    assert isinstance(network, RealtimeNetwork)
    scenes = whole_frames(read_evaluation_photographs(photographs, most))
    columns = []
    with torch.no_grad():
        for displacement_px, noise in CASES:
            each = [
                reached(network, scene, displacement_px, noise, seed) for seed, scene in enumerate(scenes)
            ]
            columns.append({name: float(np.mean([found[name] for found in each])) for name in each[0]})
    heads = (f"{displacement_px:g} px, {noise:g}" for displacement_px, noise in CASES)
    click.echo(f"{'':<40}" + "".join(f"{head:>14}" for head in heads))
    for name in columns[0]:
        click.echo(f"{name:<40}" + "".join(f"{column[name]:14.3f}" for column in columns))


if __name__ == "__main__":
    main()
