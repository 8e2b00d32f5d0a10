"""# A phone clip of a bridge

A clip goes in as the phone wrote it. Regions are proposed where texture moves, the frequencies come with their
uncertainty, and the first one is magnified alone.
"""

from drawn import BLUE, ORANGE, frames, plt, save, show

import tremorscope as ts

clip = ts.example_clip("bridge.mp4")
found = ts.measure(clip)
print(found)

# The surest peak, and a narrow band around it.
peak = found.peaks[0]
band = (0.88 * peak.frequency_hz, 1.12 * peak.frequency_hz)
video = ts.magnify(clip, "first-mode.mp4", amplification=25, band_hz=band)

# The magnified film is a clip like any other: at mid-span it shows 25 times the motion.
middle = [(172, 114, 56, 20)]
before, after = (ts.measure(film, regions=middle).displacement for film in (clip, video.path))

figure, axes = plt.subplot_mosaic(
    [["frame", "filmed"], ["frame", "magnified"]], figsize=(9.6, 3.4), width_ratios=[1.15, 1]
)
show(axes["frame"], frames(clip)[0], "regions that were proposed", found.regions)
for name, moved, colour in (("filmed", before, BLUE), ("magnified", after, ORANGE)):
    axes[name].plot(moved.time_s, moved.y[0] - moved.y[0].mean(), color=colour)
    axes[name].set_ylabel("px")
axes["filmed"].set_title(f"mid-span as filmed: {peak.amplitude_px:.2f} px at {peak.frequency_hz:.2f} Hz")
axes["filmed"].tick_params(labelbottom=False)
axes["magnified"].set_title(f"{band[0]:.1f} to {band[1]:.1f} Hz magnified 25 times")
axes["magnified"].set_xlabel("s")
save(figure, "phone_clip.png")
