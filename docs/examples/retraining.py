"""# Retraining on one's own photographs, in miniature

A folder of photographs (drawn here), the recipe and weights of `nano`, and sixteen steps more: `train`, `export`, and
the network of one's own beside the shipped one, on a scene that neither has seen. So few steps change little; a real
training has thousands: see [retraining](../retraining.md).
"""

from pathlib import Path

import numpy as np
import yaml
from drawn import BLUE, ORANGE, Canvas, Part, plt, save, show, texture
from PIL import Image

import tremorscope as ts
from tremorscope.cli import cli
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

KIT = Path(__file__).resolve().parents[2]


def tremorscope(*words: str) -> None:
    """Run a command."""
    cli(words, standalone_mode=False)


photographs, rng = Path("photographs"), np.random.default_rng(3)
photographs.mkdir(exist_ok=True)
for number in range(6):
    canvas = Canvas(256, 256)
    for x, y, half in zip(rng.uniform(0, 256, 30), rng.uniform(0, 256, 30), rng.uniform(8, 30, 30)):
        canvas.box(
            x - half, y - half / 2, x + half, y + half / 2, f"#{rng.integers(0x303030, 0xF0F0F0):06x}", 3
        )
    rough = 140 + texture(256, 256, 50 + number, 20.0)[..., None] * np.ones(3)
    photograph = np.clip(Part(canvas.layer(number)).over(rough, 0, 0), 0, 255).astype(np.uint8)
    Image.fromarray(photograph).save(photographs / f"wall-{number}.png")

recipe = yaml.safe_load((KIT / "configs/train-nano.yaml").read_text())
recipe |= {"name": "mine", "pictures": {"drawn_pictures": 8}, "validation": {"every_steps": 16}}
recipe["schedule"] |= {"steps": 16, "batch": 2, "pair_uses": 2, "learning_rate": 1e-4}
recipe["schedule"] |= {"warm_up_steps": 8, "ease_in_steps": 0}
Path("mine.yaml").write_text(yaml.safe_dump(recipe))
tremorscope(
    *("train", "mine.yaml", "-o", "run", "--photographs", str(photographs), "--threads", "1"),
    *("--start-from", str(KIT / "model/weights/nano.safetensors")),
)
tremorscope("export", "--model", "run/weights.safetensors", "-o", "mine")

canvas = Canvas(128, 96)
canvas.box(30, 22, 98, 74, "#d08f4a", 6)
canvas.disc(64, 48, 14, "#39607a")
part, wall = Part(canvas.layer(8)), 150 + texture(128, 96, 9, 12.0)[..., None] * np.ones(3)
drawn_px = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
rest, *moved = (np.clip(part.over(wall, x, 0.0), 0, 255).astype(np.uint8) for x in (0.0, *drawn_px))
shown, reached_px = {"as filmed": moved[-1]}, {}
for title, bundle in (("nano", "nano"), ("retrained", "mine")):
    with ts.Magnifier(bundle) as magnify:
        found = [magnify(frame, rest, 8) for frame in moved]
    tracker = RegionTracker(rest, Region(26, 18, 76, 60))
    shown[title], reached_px[title] = found[-1], [tracker.measure(each).x_px for each in found]
    print(f"{title}: {reached_px[title][-1]:.2f} px, drawn {8 * drawn_px[-1]:.1f}")

figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), width_ratios=[1, 1, 1, 1.2])
for axis, (title, each) in zip(axes, shown.items()):
    show(axis, each[14:82, 20:112], title)
    axis.axvline(98 - 20 + 3.5, color=ORANGE, lw=1)  # where 8 times the motion puts the right edge
for (title, found), colour, mark in zip(reached_px.items(), (BLUE, ORANGE), ("o", "x")):
    axes[3].plot(drawn_px, found, mark, color=colour, label=title)
axes[3].axline((0, 0), slope=8, color="#888888", lw=0.8)
axes[3].set(title="displacement", xlabel="px as filmed", ylabel="px magnified")
axes[3].legend()
save(figure, "retraining.png")
