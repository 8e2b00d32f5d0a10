"""# Millimetres by a board in the picture

A printed board is photographed where the structure lies, at an angle. `calibrate scale` finds how many millimetres a
pixel is there, and how well that is known. Then the board is taken away, and a plate in its plane swings by 0.2 mm.
"""

import numpy as np
from drawn import BLUE, INK, Canvas, Part, plt, save, show, sky, write
from PIL import Image

import tremorscope as ts
from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.cli import cli

WIDTH, HEIGHT = 480, 320
to_px = np.array([[1.52, 0.18, 62], [-0.13, 1.55, 50], [0.0005, 0.0002, 1]])  # of the plane in mm


def seen(x_mm, y_mm):
    """Places of the plane in the picture."""
    u, v, w = np.tensordot(to_px, np.stack(np.broadcast_arrays(x_mm, y_mm, 1.0)), 1)
    return u / w, v / w


def quad(canvas, left, top, right, bottom, colour):
    """Draw a rectangle of the plane, in mm."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    canvas.polygon([tuple(map(float, seen(*corner))) for corner in corners], colour)


# The photograph with the board, and the scale that it gives.
board, wall = CalibrationBoard.parse("charuco-9x6-25mm"), sky(WIDTH, HEIGHT, (150, 146, 138), (120, 116, 110))
canvas = Canvas(WIDTH, HEIGHT)
quad(canvas, -12, -12, 237, 162, "#f4f4f2")
for left, top, width, height in board.black_mm():
    quad(canvas, left, top, left + width, top + height, "#1c1c1c")
photograph = Part(canvas.layer(1)).over(wall, 0.0, 0.0)
Image.fromarray(np.clip(photograph, 0, 255).astype(np.uint8)).save("scene.png")
cli(
    ["calibrate", "scale", "scene.png", "--board", str(board), "--sigma", "0.05mm", "-o", "scale.json"],
    standalone_mode=False,
)

# The plate in its place: 0.2 mm along the plane's x, in pixels at each pixel of the picture.
canvas, rng = Canvas(WIDTH, HEIGHT), np.random.default_rng(2)
quad(canvas, 40, 30, 190, 120, "#4f7f9f")
for _ in range(70):
    x, y = rng.uniform(44, 180), rng.uniform(33, 112)
    quad(
        canvas,
        x,
        y,
        x + rng.uniform(3, 8),
        y + rng.uniform(2, 6),
        "#2b4a60" if rng.random() < 0.6 else "#c9d6dd",
    )
plate = Part(canvas.layer(4))
rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float)
x, y, w = np.tensordot(np.linalg.inv(to_px), np.stack([columns, rows, np.ones_like(rows)]), 1)
time_s = np.arange(100) / 25
moves = [[after - before for after, before in zip(seen(x / w + d, y / w), (columns, rows))]
         for d in 0.2 * np.sin(2 * np.pi * 3.2 * time_s)]  # fmt: skip
clip = write("plate.npz", (plate.over(wall, *move) for move in moves), rate_hz=25)
regions = [(150, 110, 60, 48), (230, 110, 60, 48)]
found = ts.measure(clip, regions=regions, mm_per_px="scale.json")
peak, moved = found.peaks[0], found.displacement
print(f"{peak.amplitude_mm:.3f} mm at {peak.frequency_hz:.2f} Hz; drawn 0.2 mm at 3.2 Hz")

figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.8), width_ratios=[1.2, 1.2, 1.3])
show(axes[0], np.asarray(Image.open("scene.png")), "the board, for the scale")
show(axes[1], np.load(clip)["frames"][0], "the plate, measured", regions)
axes[2].plot(time_s, 0.2 * np.sin(2 * np.pi * 3.2 * time_s), color=INK, lw=0.9, label="as drawn")
axes[2].plot(moved.time_s, moved.x[0] - moved.x[0].mean(), ".", color=BLUE, label="measured")
axes[2].set(title="displacement", xlabel="s", ylabel=moved.unit, ylim=(-0.25, 0.35))
axes[2].legend(loc="upper right", ncols=2)
save(figure, "scale_by_board.png")
