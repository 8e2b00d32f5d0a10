"""Clips that the examples draw, of parts that move by known fractions of a pixel, and the style of their plots."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import av
import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFilter
from scipy import fft

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings

matplotlib.use("agg")
plt.rcParams.update(
    {
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e2e2e2",
        "axes.axisbelow": True,
        "legend.frameon": False,
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "lines.linewidth": 1.6,
    }
)
BLUE, ORANGE, GREEN, INK = "#0072B2", "#D55E00", "#009E73", "#333333"
FINE = 4
"""Drawn that many times finer, then reduced: edges get their true share of each pixel."""
_ORDERS = 4


def texture(width: int, height: int, seed: int, strength: float = 9.0) -> np.ndarray:
    """Grain of a surface, (H, W): mean 0, its standard deviation in grey levels."""
    rng = np.random.default_rng(seed)
    f = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :])
    f[0, 0] = np.inf
    grain = fft.irfft2(fft.rfft2(rng.standard_normal((height, width))) * f**-0.8 * np.exp(-((3 * f) ** 2)))
    return strength * (grain - grain.mean()) / grain.std()


def sky(width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    """A still background that fades from one colour to another, (H, W, 3)."""
    down = np.linspace(0, 1, height)[:, None, None]
    return (1 - down) * np.array(top) + down * np.array(bottom) + texture(width, height, 7, 3.0)[..., None]


def town(width: int, height: int, horizon: int) -> np.ndarray:
    """Houses with windows before the sky, (H, W, 3): a background with corners everywhere."""
    canvas, rng, x = Canvas(width, height), np.random.default_rng(5), -6.0
    walls, glass = ("#b9a48c", "#a3867a", "#c9bda8", "#8f9aa3", "#b7aeb0"), ("#4d5a66", "#6d7b86", "#e3d6a0")
    while x < width:
        wide, top = rng.uniform(26, 46), horizon - rng.uniform(30, 95)
        canvas.box(x, top, x + wide, height, walls[rng.integers(len(walls))])
        canvas.polygon(
            [(x - 2, top), (x + wide + 2, top), (x + wide / 2, top - rng.uniform(4, 14))], "#7c4a3d"
        )
        for left in np.arange(x + 4, x + wide - 6, 9):
            for above in np.arange(top + 5, height - 8, 12):
                canvas.box(left, above, left + 4.5, above + 6.5, glass[rng.integers(len(glass))])
        x += wide
    houses = canvas.layer(17)
    return houses[..., :3] + (1 - houses[..., 3:]) * sky(width, height, (126, 164, 206), (222, 226, 224))


class Canvas:
    """A drawing board in pixels of the clip; what is drawn on it becomes a part that moves."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        self._image = Image.new("RGBA", (width * FINE, height * FINE))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Iterable[tuple[float, float]], colour: str) -> None:
        """Fill a polygon of (x, y)."""
        self._draw.polygon([(FINE * x, FINE * y) for x, y in points], fill=colour)

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: str, radius: float = 0
    ) -> None:
        """Fill a rectangle, with round corners if it likes."""
        corners = [FINE * each for each in (left, top, right, bottom)]
        self._draw.rounded_rectangle(corners, radius * FINE, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        """Fill a circle."""
        self._draw.ellipse(
            [FINE * each for each in (x - radius, y - radius, x + radius, y + radius)], fill=colour
        )

    def line(self, points: Iterable[tuple[float, float]], width: float, colour: str) -> None:
        """Draw a line through points (x, y)."""
        self._draw.line([(FINE * x, FINE * y) for x, y in points], fill=colour, width=round(FINE * width))

    def layer(self, seed: int) -> np.ndarray:
        """What was drawn, as seen through a lens: (H, W, 4), colours times cover, cover from 0 to 1."""
        blurred = self._image.convert("RGBa").filter(ImageFilter.GaussianBlur(0.7 * FINE))
        picture = np.asarray(blurred.resize(self.size, Image.Resampling.BOX), np.float64)
        cover = picture[..., 3:] / 255
        grain = texture(*self.size, seed)[..., None] * cover
        return np.concatenate([picture[..., :3] + grain, cover], axis=-1)


class Part:
    """A layer that moves by sub-pixel displacements, exactly: a power series with derivatives by Fourier transform."""

    def __init__(self, layer: np.ndarray) -> None:
        rows, columns = (np.flatnonzero(layer[..., 3].any(axis=axis)) for axis in (1, 0))
        self.rows = slice(max(rows[0] - 3, 0), rows[-1] + 4)
        self.columns = slice(max(columns[0] - 3, 0), columns[-1] + 4)
        layer = np.pad(layer[self.rows, self.columns], ((8, 8), (8, 8), (0, 0)))
        spectrum, shape = fft.rfft2(layer, axes=(0, 1)), layer.shape[:2]
        along_y = 2j * math.pi * fft.fftfreq(shape[0])[:, None, None]
        along_x = 2j * math.pi * fft.rfftfreq(shape[1])[None, :, None]
        self._terms = {
            (i, j): (
                fft.irfft2(spectrum * along_x**i * along_y**j, shape, axes=(0, 1))[8:-8, 8:-8]
                / (math.factorial(i) * math.factorial(j))
            ).astype(np.float32)
            for i in range(_ORDERS + 1)
            for j in range(_ORDERS + 1 - i)
        }

    def over(self, background: np.ndarray, x_px: np.ndarray | float, y_px: np.ndarray | float) -> np.ndarray:
        """The picture (H, W, 3) with the part displaced to the right and downwards, by a number or by (H, W)."""
        x, y = (
            each[self.rows, self.columns, None] if np.ndim(each) else np.full((1, 1, 1), each, np.float32)
            for each in (np.asarray(x_px, np.float32), np.asarray(y_px, np.float32))
        )
        most_x, most_y = float(np.abs(x).max()), float(np.abs(y).max())
        layer = np.zeros_like(self._terms[0, 0])
        for (i, j), term in self._terms.items():
            if most_x**i * most_y**j > 1e-4:
                layer += (-x) ** i * (-y) ** j * term
        picture = background.astype(np.float32)
        picture[self.rows, self.columns] *= 1 - layer[..., 3:]
        picture[self.rows, self.columns] += layer[..., :3]
        return picture


def write(path: str, frames: Iterable[np.ndarray], rate_hz: float, noise: float = 1.0) -> Path:
    """Film the pictures with noise, in grey levels, into a .npz that every command of tremorscope reads as a clip."""
    rng = np.random.default_rng(1)
    filmed = [
        np.clip(np.rint(each + noise * rng.standard_normal(each.shape, np.float32)), 0, 255).astype(np.uint8)
        for each in frames
    ]
    np.savez(path, frames=np.array(filmed), rate_hz=rate_hz)
    return Path(path)


def bridge(path: str, settings: SyntheticSettings) -> Path:
    """Film the drawn footbridge of the demonstration."""
    camera = SyntheticCamera(settings)
    frames = []
    while True:
        frame = np.empty((settings.height_px, settings.width_px, 3), np.uint8)
        if camera.read_into(frame) is None:
            break
        frames.append(frame)
    np.savez(path, frames=np.array(frames), rate_hz=settings.rate_hz)
    return Path(path)


def fork() -> tuple[Part, np.ndarray, np.ndarray]:
    """A tuning fork: its part, its background, and the share of the tines' swing at each pixel (H, W)."""
    canvas = Canvas(240, 300)
    canvas.box(78, 20, 100, 200, "#9fb0bd", 4)
    canvas.box(140, 20, 162, 200, "#9fb0bd", 4)
    canvas.polygon([(78, 190), (162, 190), (152, 222), (88, 222)], "#8798a6")
    canvas.box(111, 215, 129, 300, "#76838f", 2)
    for y in range(40, 190, 30):
        canvas.box(83, y, 95, y + 4, "#65737e")
        canvas.box(145, y, 157, y + 4, "#65737e")
    along = np.clip((200 - np.arange(300.0)) / 180, 0, 1)[:, None] ** 2
    side = np.sign(np.arange(240.0) - 120)[None, :]
    return Part(canvas.layer(3)), sky(240, 300, (44, 52, 66), (88, 84, 80)), side * along


def pump() -> tuple[Part, np.ndarray]:
    """A motor on its foundation: the part that shakes, and the hall behind it."""
    canvas = Canvas(320, 220)
    canvas.box(60, 70, 210, 160, "#3f7fa6", 12)
    for x in range(74, 200, 10):
        canvas.box(x, 76, x + 4, 154, "#2f6485")
    canvas.box(110, 52, 160, 74, "#4b8cb3", 4)
    canvas.box(210, 82, 232, 148, "#b8bcc0", 3)
    canvas.box(232, 104, 290, 126, "#c9ccd0", 2)
    canvas.disc(120, 63, 3, "#dfe6ea")
    canvas.disc(150, 63, 3, "#dfe6ea")
    for x in (72, 180):
        canvas.polygon([(x, 158), (x + 28, 158), (x + 36, 184), (x - 8, 184)], "#35627f")
    hall = sky(320, 220, (196, 190, 176), (150, 146, 138))
    hall[184:] = (122, 118, 112) + texture(320, 36, 11, 7.0)[..., None]
    return Part(canvas.layer(5)), hall


def chimney() -> tuple[Part, np.ndarray]:
    """A banded chimney above a town: its part, and what stands still behind it."""
    canvas = Canvas(240, 320)
    for number in range(15):
        top, bottom = 20 + 20 * number, 40 + 20 * number
        above, below = 10 + 0.05 * top, 10 + 0.05 * bottom
        corners = [(120 - above, top), (120 + above, top), (120 + below, bottom), (120 - below, bottom)]
        canvas.polygon(corners, "#c64f3d" if number % 2 else "#e8e2d6")
        canvas.line([(120 - below, bottom), (120 + below, bottom)], 1.5, "#6b5e55")
    canvas.box(105, 16, 135, 22, "#7a6f66", 1)
    return Part(canvas.layer(9)), town(240, 320, 290)


def frames(path: str | Path) -> np.ndarray:
    """All pictures of a clip that an example wrote, (T, H, W, 3)."""
    if Path(path).suffix == ".npz":
        return np.load(path)["frames"]
    with av.open(str(path)) as film:
        return np.stack([each.to_ndarray(format="rgb24") for each in film.decode(video=0)])


def show(
    axes: plt.Axes, picture: np.ndarray, title: str = "", regions: Iterable[tuple[int, ...]] = ()
) -> None:
    """Show a frame without axes, with rectangles and their numbers on it."""
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(title)
    for number, (left, top, width, height) in enumerate(regions, 1):
        axes.add_patch(plt.Rectangle((left, top), width, height, fill=False, color="white", lw=2.4))
        axes.add_patch(plt.Rectangle((left, top), width, height, fill=False, color=ORANGE, lw=1.4))
        last = picture.shape[1] - 1  # a label beyond it would not be drawn, and at it stands inside
        place, side = (min(left + width, last), top), "right" if left + width > 0.95 * last else "left"
        label = axes.annotate(f"R{number}", place, color="white", fontsize=8, weight="bold", ha=side)
        label.set_bbox({"facecolor": ORANGE, "edgecolor": "none", "pad": 1})


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure as a small PNG, in 128 colours."""
    figure.savefig("whole.png")
    Image.open("whole.png").convert("RGB").quantize(128, dither=Image.Dither.NONE).save(name, optimize=True)
    Path("whole.png").unlink()
