"""# Velocity against a standard

The motor again, with a scale of 0.4 mm a pixel. ISO 20816-3 judges the RMS of velocity by zones: A as new, B for long
running, C for a short time, D harmful. docs/standards.md says where the numbers come from, and what is not judged.
"""

import numpy as np
from drawn import BLUE, plt, pump, save, show, write

import tremorscope as ts

part, hall = pump()
turns = np.arange(300) / 240 * 1480 / 60
clip = write(
    "pump-judged.npz",
    (part.over(hall, 0.12 * np.cos(2 * np.pi * each), 0.05 * np.sin(2 * np.pi * each)) for each in turns),
    rate_hz=240,
)
regions = [(70, 80, 64, 64), (140, 80, 60, 64)]
judged = {"standard": "iso-20816-3", "standard_class": "group-2-rigid", "speed_rpm": 1480}
found = ts.measure(clip, regions=regions, mm_per_px=0.4, **judged)
for region, judgement in found.judgements:
    print(region, judgement.text())

true = 0.12 * 0.4 * 2 * np.pi * 1480 / 60 / np.sqrt(2)  # mm/s RMS along x
print(f"drawn with {true:.2f} mm/s")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 3.0), width_ratios=[1.05, 1.5, 0.8])
show(left, np.load(clip)["frames"][0], "", regions)
speed = found.velocity
middle.plot(speed.time_s, speed.x[0], color=BLUE)
middle.set(title="velocity of R1 along x", xlabel="s", ylabel="mm/s", xlim=(0.3, 0.9))
edges = (0, 1.4, 2.8, 4.5, 6.5)
for zone, colour, low, high in zip("ABCD", ("#bfe3c9", "#e8edb5", "#f8d9a8", "#f2b3a5"), edges, edges[1:]):
    right.axhspan(low, high, color=colour, zorder=0)
    right.text(1.42, (low + high) / 2, zone, va="center", weight="bold", color="#555555")
right.bar(["R1", "R2"], [np.sqrt(np.nanmean(row**2)) for row in speed.x], width=0.5, color=BLUE)
right.set(title="RMS and zones", ylabel="mm/s", ylim=(0, 6.5), xlim=(-0.5, 1.6))
right.grid(visible=False)
save(figure, "against_a_standard.png")
