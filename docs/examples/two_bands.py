"""# Two bands of one structure

The bridge vibrates at two frequencies at once. Each is magnified by itself; the other stays as small as it was filmed.
A column of pixels at the quarter of the span, laid side by side over time, shows it.
"""

from drawn import bridge, frames, plt, save

import tremorscope as ts
from tremorscope.runtime.cameras.synthetic import SyntheticSettings

clip = bridge("bridge.npz", SyntheticSettings(320, 180, rate_hz=25, duration_s=4))
bands = {"1.8 to 2.4 Hz, 25 times": (1.8, 2.4), "4.3 to 5.2 Hz, 60 times": (4.3, 5.2)}
films = {"as filmed": clip}
for number, (title, band) in enumerate(bands.items()):
    factor = float(title.split()[-2])
    films[title] = ts.magnify(
        clip, f"band-{number}.mp4", amplification=factor, band_hz=band, bundle="nano"
    ).path

figure, rows = plt.subplots(3, 1, figsize=(9.6, 4.4), sharex=True)
for axes, (title, film) in zip(rows, films.items()):
    column = frames(film)[:, 84:118, 100]  # (T, 34, 3)
    axes.imshow(column.swapaxes(0, 1), aspect="auto", extent=(0, 4, 34, 0), interpolation="nearest")
    axes.set(title=title, yticks=[])
    axes.grid(visible=False)
rows[-1].set_xlabel("s")
save(figure, "two_bands.png")
