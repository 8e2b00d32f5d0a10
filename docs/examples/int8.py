"""# INT8 against FP32

The nano network is quantised on 32 pairs of the bridge itself, and the same frames are magnified in both precisions.
The verdict that a device asks for is `tremorscope compare`; this is what it looks like.
"""

import numpy as np
from drawn import BLUE, ORANGE, bridge, frames, plt, save, show

import tremorscope as ts
from tremorscope.cli import cli
from tremorscope.runtime.cameras.synthetic import SyntheticMode, SyntheticSettings
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region


def tremorscope(*words: str) -> None:
    """Run a command."""
    cli(words, standalone_mode=False)


scene = SyntheticSettings(320, 180, rate_hz=25, duration_s=5, modes=(SyntheticMode(2.1, 0.3),))
clip = bridge("calibration.npz", scene)
tremorscope("calibrate", "capture", "--camera", str(clip), "-o", "pairs", "--count", "32", "--reserve", "0")
tremorscope("calibrate", "quantise", "nano-fp32", "--calibration", "pairs", "-o", "nano-int8")

pictures = frames(clip)[:13]  # half a period: all displacements from none to the largest
reached = {}
for name in ("nano-fp32", "nano-int8"):
    with ts.Magnifier(name) as magnify:
        reached[name] = magnify(pictures, pictures[0], 20)
difference = np.abs(reached["nano-int8"].astype(float) - reached["nano-fp32"]).mean(axis=-1)

place = Region(138, 91, 44, 16)  # mid-span
true_px = [scene.displacement_px([160], number / 25)[0] for number in range(13)]
figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.9), width_ratios=[1.25, 1.25, 1])
show(axes[0], reached["nano-int8"][3], "INT8, magnified 20 times")
shown = axes[1].imshow(difference[3], cmap="magma", vmin=0, vmax=16)
axes[1].set(title="difference from FP32")
axes[1].set_axis_off()
figure.colorbar(shown, ax=axes[1], label="grey levels", shrink=0.7)
for (name, film), colour, mark in zip(reached.items(), (BLUE, ORANGE), ("o", "x")):
    tracker = RegionTracker(film[0], place)
    axes[2].plot(
        true_px, [tracker.measure(frame).y_px for frame in film], mark, color=colour, label=name[5:].upper()
    )
axes[2].axline((0, 0), slope=20, color="#888888", lw=0.8)
axes[2].set(title="displacement", xlabel="px as filmed", ylabel="px magnified")
axes[2].legend()
save(figure, "int8.png")
