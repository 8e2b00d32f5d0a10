"""# A month in a device's store

A device keeps its modes for years. Here a month of them is written as the service would: the first bending of a bridge
falls when it is warm, and for good by 1.5 % in the third week. With the temperature taken out the loss stands alone.
"""

from pathlib import Path

import numpy as np
from drawn import BLUE, GREEN, ORANGE, plt, save

import tremorscope as ts
from tremorscope.runtime.store.records import ModeRecord
from tremorscope.runtime.store.store import Store

begin_s, days = 1_793_000_000.0, np.arange(0, 30, 1 / 48)
rng = np.random.default_rng(4)
weather = (
    8
    + 4 * np.sin(2 * np.pi * days / 11)
    + 5 * np.sin(2 * np.pi * (days - 0.35))
    + rng.normal(0, 0.5, days.size)
)
true_hz = 2.1 * (1 - 0.0016 * (weather - 8)) * np.where(days > 17, 0.985, 1.0)
with Store(Path("month.db")) as store:
    store.write(
        ModeRecord(begin_s + 86400 * day, "first bending", hz, 0.004, 0.012, temperature_c=warm)
        for day, hz, warm in zip(days, true_hz + rng.normal(0, 0.004, days.size), weather)
    )

# The same from here on with a device's own file, also while the service writes to it.
with ts.open_store("month.db") as store:
    modes = store.modes(start=begin_s)
day = (np.array([mode.time_s for mode in modes]) - begin_s) / 86400
hz, warm = (np.array([getattr(mode, name) for mode in modes]) for name in ("frequency_hz", "temperature_c"))

# Learnt in the first ten days: how much the frequency falls a degree.
slope, level = np.polyfit(warm[day < 10], hz[day < 10], 1)
without = hz - slope * warm - level
loss = without[day > 18].mean() / level
print(f"{1e2 * slope / level:.3f} % a degree; lost for good {1e2 * loss:.2f} %, drawn with -1.5 %")

figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9.6, 4.8), sharex=True)
top.plot(day, warm, color=GREEN, lw=1)
top.set(title="temperature", ylabel="°C")
middle.plot(day, hz, ".", color=BLUE, ms=2)
middle.set(title="first bending, as it was found each half hour", ylabel="Hz")
bottom.plot(day, 100 * without / level, ".", color=ORANGE, ms=2)
bottom.axhline(0, color="#888888", lw=0.8)
bottom.set(title="without the temperature", ylabel="%", xlabel="day", xlim=(0, 30))
save(figure, "month_in_store.png")
