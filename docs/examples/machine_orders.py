"""# A machine's orders

A motor at 1480 revolutions a minute, filmed at 240 frames a second. With its speed stated, peaks are named by orders:
1 is the imbalance, 2 the misalignment, and what is no whole number comes from elsewhere, here a bearing.
"""

import numpy as np
from drawn import BLUE, ORANGE, plt, pump, save, show, write

import tremorscope as ts

part, hall = pump()
turns = np.arange(240) / 240 * 1480 / 60
x_px = 0.12 * np.cos(2 * np.pi * turns) + 0.03 * np.sin(4 * np.pi * turns)
y_px = 0.07 * np.sin(2 * np.pi * turns) + 0.02 * np.sin(2 * np.pi * 3.58 * turns)
clip = write("pump.npz", (part.over(hall, x, y) for x, y in zip(x_px, y_px)), rate_hz=240)

regions = [(70, 80, 64, 64), (140, 80, 60, 64)]
found = ts.measure(clip, regions=regions, speed_rpm=1480)
for peak in found.peaks:
    print(
        f"order {peak.orders:.2f}: {peak.amplitude_px:.3f} px along {peak.axis}, {peak.frequency_hz:.2f} Hz"
    )

moved = found.displacement
orders = np.fft.rfftfreq(240, 1 / 240) / (1480 / 60)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 2.9), width_ratios=[1.15, 1.4, 0.9])
show(left, np.load(clip)["frames"][0], "", regions)
for series, axis, colour in ((moved.x[0], "x", BLUE), (moved.y[0], "y", ORANGE)):
    middle.plot(
        orders, np.abs(np.fft.rfft(np.hanning(240) * (series - series.mean()))) / 60, color=colour, label=axis
    )
middle.set(
    title="spectrum by orders",
    xlabel="times the speed of turning",
    ylabel="px",
    xlim=(0, 4.8),
    xticks=range(5),
)
middle.legend()
right.plot(moved.x[0] - moved.x[0].mean(), moved.y[0] - moved.y[0].mean(), ".", color=BLUE, ms=3)
right.set(title="orbit of R1", xlabel="x in px", ylabel="y in px", aspect="equal")
right.invert_yaxis()
save(figure, "machine_orders.png")
