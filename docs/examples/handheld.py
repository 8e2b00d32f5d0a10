"""# A camera in the hand

A chimney sways by 0.4 px while the hand moves the whole picture by many pixels. `stabilise` follows the still town
behind it and takes the hand's motion out; the chimney's stays.
"""

import numpy as np
from drawn import BLUE, INK, ORANGE, chimney, plt, save, show, write
from scipy import ndimage

import tremorscope as ts

part, town = chimney()
up = np.clip((290 - np.arange(320.0)) / 270, 0, 1)[:, None] ** 1.5
time_s = np.arange(150) / 30
sway_px = 0.4 * np.sin(2 * np.pi * 2.2 * time_s)
hand_px = [sum(a * np.sin(2 * np.pi * f * time_s + p) for a, f, p in wave) for wave in
           ([(4, 0.5, 0), (1.2, 1.3, 1), (0.5, 3.1, 2)], [(3, 0.4, 1), (1.0, 1.7, 0), (0.4, 2.7, 1)])]  # fmt: skip


def filmed(number):
    """The scene at one moment, from where the hand holds the camera, cut to 208 x 288 px."""
    scene = part.over(town, np.broadcast_to(sway_px[number] * up, (320, 240)), 0.0)
    x, y = (wave[number] - wave[0] for wave in hand_px)
    rows, columns = np.mgrid[16:304, 16:224].astype(float)
    return np.stack(
        [ndimage.map_coordinates(scene[..., c], (rows + y, columns + x), order=3) for c in range(3)], axis=-1
    )


clip = write("handheld.npz", map(filmed, range(150)), rate_hz=30)
top = [(80, 12, 48, 40)]
raw = ts.measure(clip, regions=top)
steady = ts.measure(clip, regions=top, stabilise="translation")
peak, moved = steady.peaks[0], steady.displacement
print(
    f"{peak.amplitude_px:.3f} px at {peak.frequency_hz:.2f} Hz; drawn {0.4 * up[28:68].mean():.3f} px at 2.2 Hz"
)

figure, (left, upper, lower) = plt.subplots(1, 3, figsize=(9.6, 3.4), width_ratios=[0.8, 1.2, 1.2])
show(left, np.load(clip)["frames"][0], "", top)
upper.plot(raw.displacement.time_s, raw.displacement.x[0], color=BLUE)
upper.set(title="as filmed: the hand", xlabel="s", ylabel="px to the right")
lower.plot(time_s, sway_px * up[28:68].mean(), color=INK, lw=0.9, label="as drawn")
lower.plot(moved.time_s, moved.x[0] - moved.x[0].mean(), ".", color=ORANGE, label="measured")
lower.set(title="stabilised: the chimney", xlabel="s", xlim=(0, 3), ylim=(-0.5, 0.65))
lower.legend(loc="upper right", ncols=2)
save(figure, "handheld.png")
