"""# Retraining on one's own photographs, in miniature

The way of a real training with small numbers: a folder of photographs (drawn here), a recipe, `train`, `export`, and
the new network beside the shipped one. Sixty steps teach little; the shipped networks took 16,000 and more.
"""

import json
from pathlib import Path

import numpy as np
import yaml
from drawn import BLUE, ORANGE, Canvas, Part, plt, save, show, texture
from PIL import Image

import tremorscope as ts
from tremorscope.cli import cli

photographs = Path("photographs")
photographs.mkdir(exist_ok=True)
rng = np.random.default_rng(3)
for number in range(6):
    canvas = Canvas(160, 160)
    for _ in range(14):
        x, y, r = rng.uniform(0, 160), rng.uniform(0, 160), rng.uniform(8, 30)
        canvas.box(x - r, y - r / 2, x + r, y + r / 2, f"#{rng.integers(0x303030, 0xF0F0F0):06x}", 3)
    layer = canvas.layer(number)
    picture = layer[..., :3] + (1 - layer[..., 3:]) * (140 + texture(160, 160, 50 + number, 20.0)[..., None])
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(photographs / f"{number}.png")

recipe = {
    "name": "mine",
    "network": {"family": "realtime", "decoder_blocks": 1},
    "pictures": {"drawn_pictures": 16},
    "pairs": {"patch_px": 64, "magnified_motion_max_px": 8},
    "schedule": {"steps": 60, "batch": 4, "learning_rate": 0.001, "warm_up_steps": 10},
    "validation": {"every_steps": 20},
}
Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
words = ["train", "recipe.yaml", "-o", "run", "--photographs", str(photographs), "--threads", "1"]
cli(words, standalone_mode=False)
cli(["export", "--model", "run/weights.safetensors", "-o", "mine"], standalone_mode=False)

# Half a pixel to the right, magnified 8 times, by both networks, over a scene that neither has seen.
canvas = Canvas(128, 96)
canvas.box(30, 22, 98, 74, "#d08f4a", 6)
canvas.disc(64, 48, 14, "#39607a")
part, wall = Part(canvas.layer(8)), 150 + texture(128, 96, 9, 12.0)[..., None] * np.ones(3)
frame, rest = (np.clip(part.over(wall, x, 0.0), 0, 255).astype(np.uint8) for x in (0.5, 0.0))
shown = {
    name: ts.Magnifier(bundle)(frame, rest, 8)
    for name, bundle in (("trained here", "mine"), ("realtime", None))
}
log = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]

figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.5), width_ratios=[1.2, 1, 1, 1])
axes[0].plot([line["step"] for line in log], [line["loss"] for line in log], "o-", color=BLUE)
axes[0].set(title="loss", xlabel="step")
for place, (title, picture) in zip(axes[1:], {"as filmed": frame, **shown}.items()):
    show(place, picture[14:82, 20:112], title)
    place.axvline(98 - 20 + 3.5, color=ORANGE, lw=1)  # the right edge, where 8 times the motion puts it
save(figure, "retraining.png")
