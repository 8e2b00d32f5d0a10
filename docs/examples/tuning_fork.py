"""# A tuning fork, filmed at 500 frames a second

A high-speed clip: its rate is that of the capture, not of the playback. Both tines swing by a quarter of a pixel,
against each other, and die away; the damping comes from that.
"""

import numpy as np
from drawn import BLUE, ORANGE, fork, plt, save, show, write

import tremorscope as ts

part, background, swing = fork()
time_s = np.arange(200) / 500
motion_px = 0.35 * np.exp(-time_s / 0.35) * np.sin(2 * np.pi * 64 * time_s)
clip = write("fork.npz", (part.over(background, swing * each, 0.0) for each in motion_px), rate_hz=500)

regions = [(70, 24, 38, 56), (132, 24, 38, 56)]
found = ts.measure(clip, regions=regions)
peak, moved = found.peaks[0], found.displacement
true = 1 / (2 * np.pi * 64 * 0.35)
print(
    f"{peak.frequency_hz:.3f} ± {peak.frequency_sigma_hz:.3f} Hz, true 64; damping {peak.damping}, true {true:.5f}"
)

figure, (left, top, right) = plt.subplots(1, 3, figsize=(9.6, 3.2), width_ratios=[0.75, 1.2, 1.2])
show(left, np.load(clip)["frames"][0], "", regions)
for row, colour in ((0, BLUE), (1, ORANGE)):
    top.plot(1e3 * moved.time_s, moved.x[row], color=colour, label=moved.regions[row])
    right.semilogy(
        *np.abs([np.fft.rfftfreq(200, 1 / 500), np.fft.rfft(np.hanning(200) * moved.x[row]) / 50]),
        color=colour,
    )
top.set(title="displacement to the right", xlabel="ms", ylabel="px", xlim=(0, 120))
top.legend(loc="upper right", ncols=2)
right.set(title=f"{peak.frequency_hz:.2f} Hz", xlabel="Hz", ylabel="px", ylim=(1e-4, 1))
save(figure, "tuning_fork.png")
