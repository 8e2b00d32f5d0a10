"""# Mode shapes of a chimney

Eight regions, one above the other, are measured together. What moves at one frequency in all of them is a mode, and its
shape is set beside the shape that the chimney was drawn with.
"""

import numpy as np
from drawn import BLUE, INK, ORANGE, chimney, plt, save, show, write

import tremorscope as ts

part, town = chimney()
up = np.clip((290 - np.arange(320.0)) / 270, 0, 1)  # 0 at the foot, 1 at the top
sizes_px, shapes = {1.3: 0.30, 5.6: 0.12}, {}
for frequency_hz, wave, rest in (
    (1.3, 1.8751, 0.7341),
    (5.6, 4.6941, 1.0185),
):  # a clamped beam's first two modes
    shape = np.cosh(wave * up) - np.cos(wave * up) - rest * (np.sinh(wave * up) - np.sin(wave * up))
    shapes[frequency_hz] = shape / 2


def displacement_px(now_s):
    """Displacement to the right of each pixel, (H, W)."""
    moved = sum(sizes_px[f] * np.sin(2 * np.pi * f * now_s + f) * shape for f, shape in shapes.items())
    return np.broadcast_to(moved[:, None], (320, 240))


time_s = np.arange(180) / 30
clip = write(
    "chimney.npz",
    (part.over(town, displacement_px(now), 0.0) for now in time_s),
    rate_hz=30,
)
regions = [(96, top, 48, 32) for top in range(22, 278, 32)]
found = ts.measure(clip, regions=regions)

figure, (left, *right) = plt.subplots(1, 3, figsize=(9.6, 4.0), width_ratios=[0.9, 1, 1])
show(left, np.load(clip)["frames"][0], "", regions)
rows = np.array([top + 16 for _, top, _, _ in regions])
for axes, mode in zip(right, sorted(found.modes, key=lambda each: each.frequency_hz)):
    shape = mode.shape[:, 0].real
    true = shapes[min(shapes, key=lambda f: abs(f - mode.frequency_hz))]
    over_regions = np.array([true[row - 16 : row + 16].mean() for row in rows])
    true = true / over_regions[0]
    shape = shape / shape[0]
    axes.plot(true, range(320), color=INK, lw=1, label="as drawn")
    axes.plot(shape, rows, "o", color=BLUE if axes is right[0] else ORANGE, label="measured")
    axes.axvline(0, color="#bbbbbb", lw=0.8)
    axes.set(
        title=f"{mode.frequency_hz:.3f} ± {mode.frequency_sigma_hz:.3f} Hz",
        ylim=(300, 0),
        xlim=(-1.15, 1.15),
        yticks=[],
    )
    axes.set_xlabel("displacement, at the top 1")
    axes.legend(loc="lower right")
save(figure, "mode_shapes.png")
