"""A picture of bars, cables and a turning disc, magnified by several methods beside the truth, over drawn backgrounds.

python -m tremorscope.export.studies.structure_pictures docs/images/structures.png
"""

from __future__ import annotations

from pathlib import Path

import click
import matplotlib
import numpy as np

from tremorscope.export.studies.runners import open_magnifier
from tremorscope.model.evaluation.evaluate import Conditions
from tremorscope.model.evaluation.scenes import Frame
from tremorscope.model.evaluation.straightness import NOISE_GREY_LEVELS, film
from tremorscope.model.evaluation.structures import structures
from tremorscope.model.pairs.drawing import draw_picture

METHODS = ("nano", "realtime", "baseline", "phase-based")
KINDS = ("cable 2.4 px", "neighbouring cables", "lattice 5 px", "turning disc")
DISPLACEMENT_PX, TARGET_PX = 0.2, 10.0
_SEEDS = (1, 6)
_PICTURE_PX = 352
_SHOWN = np.s_[64:192, 64:192]


def rows_of_pictures() -> dict[str, dict[str, Frame]]:
    """Pictures by kind of structure and by method, with the frame as filmed and the truth: u8[128, 128, 3] each."""
    magnifiers = {name: open_magnifier(name)[1] for name in METHODS}
    scenes = structures([draw_picture(seed, _PICTURE_PX) for seed in _SEEDS])
    conditions = Conditions(DISPLACEMENT_PX, TARGET_PX, NOISE_GREY_LEVELS)
    rows = {}
    for kind in KINDS:
        reference, frame, truth = film(scenes[kind][0], conditions, np.random.default_rng(0))
        shown = {"as filmed": frame, "the truth": truth}
        for name, magnify in magnifiers.items():
            shown[name] = magnify(frame, reference, conditions.amplification)
        rows[kind] = {name: picture[_SHOWN] for name, picture in shown.items()}
    return rows


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
def main(path: Path) -> None:
    """Write the picture."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = rows_of_pictures()
    columns = len(next(iter(rows.values())))
    figure, axes = plt.subplots(len(rows), columns, figsize=(2.0 * columns, 2.1 * len(rows)), squeeze=False)
    for number, (kind, shown) in enumerate(rows.items()):
        for axis, (name, picture) in zip(axes[number], shown.items(), strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if not number:
                axis.set_title(name, fontsize=10)
        axes[number, 0].set_ylabel(kind, fontsize=10)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
