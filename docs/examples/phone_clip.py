"""# A phone clip of a bridge

A clip goes in as the phone wrote it. Regions are proposed where texture moves, the frequencies come with their
uncertainty, and the first one is magnified alone.
"""

from drawn import BLUE, ORANGE, frames, plt, save, show

import tremorscope as ts

clip = ts.example_clip()
found = ts.measure(clip)
print(found)

# The surest peak, and a band of a third of an octave around it.
peak = found.peaks[0]
band = (0.88 * peak.frequency_hz, 1.12 * peak.frequency_hz)
video = ts.magnify(clip, "first-mode.mp4", amplification=25, band_hz=band)

# The magnified film is a clip like any other: measured in the same region, it shows 25 times the motion.
row = found.displacement.regions.index(peak.region)
magnified = ts.measure(video.path, regions=[found.regions[row]])

figure, axes = plt.subplot_mosaic(
    [["frame", "filmed"], ["frame", "magnified"]], figsize=(9.6, 3.4), width_ratios=[1.15, 1]
)
show(axes["frame"], frames(clip)[0], "regions that were proposed", found.regions)
for name, moved_px, colour in (
    ("filmed", found.displacement.y[row], BLUE),
    ("magnified", magnified.displacement.y[0], ORANGE),
):
    axes[name].plot(found.displacement.time_s, moved_px - moved_px.mean(), color=colour)
    axes[name].set_ylabel("px")
axes["filmed"].set_title(f"{peak.region} as filmed: {peak.amplitude_px:.2f} px at {peak.frequency_hz:.2f} Hz")
axes["filmed"].tick_params(labelbottom=False)
axes["magnified"].set_title(f"{band[0]:.1f} to {band[1]:.1f} Hz magnified 25 times")
axes["magnified"].set_xlabel("s")
save(figure, "phone_clip.png")
