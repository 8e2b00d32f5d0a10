"""# A picture that moves: the bridge as filmed, and magnified

The vibration takes 12 frames a period, so 12 frames make an endless film. The bridge is drawn without noise here, which
keeps the file small; `make demo` has a camera's noise.
"""

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

import tremorscope as ts
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings

camera = SyntheticCamera(
    SyntheticSettings(560, 316, rate_hz=25.2, noise_sigma=0, modes=(SyntheticMode(2.1, 0.12),))
)
frames = np.empty((12, 316, 560, 3), np.uint8)
for frame in frames:
    camera.read_into(frame)

# The reference is the bridge at rest: it passes through it in the first frame.
with ts.Magnifier() as magnify:
    magnified = magnify(frames, frames[0], 40)

# Both, one above the other, without the water and most of the sky.
font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 14)
pages = []
for pair in zip(frames, magnified):
    page = Image.fromarray(np.concatenate([each[52:212] for each in pair]))
    draw = ImageDraw.Draw(page)
    for y, text in ((6, "as filmed"), (166, "magnified 40 times")):
        draw.text((10, y), text, "white", font, stroke_width=2, stroke_fill="#333333")
    pages.append(page)

# One palette for all frames, without dithering: what stands still stays the same, and is stored once.
palette = Image.fromarray(np.concatenate([np.asarray(page) for page in pages[::3]])).quantize(128)
still = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
still[0].save("bridge.gif", save_all=True, append_images=still[1:], duration=40, loop=0, optimize=False)
