"""The charts of the page in a real Chromium: zoom by mouse and finger, the way back, values under the cursor."""

from __future__ import annotations

from typing import Any

import pytest
from browser_rig import PHONE, changes, eventually, run
from service_rig import MM_PER_PX, MODES_HZ

from tremorscope.runtime.health import NaturalFrequency
from tremorscope.runtime.outputs.web import answers

CHARTS = {"motion": "motionChart", "spectrum": "spectrumChart", "frequencies": "frequencyChart"}


def over(chromium: Any, chart: str) -> Any:
    found = chromium.find_element("css selector", f"#{chart} .u-over")
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def mouse(chromium: Any) -> Any:
    from selenium.webdriver.common.action_chains import ActionChains

    return ActionChains(chromium, duration=30)


def drag(chromium: Any, chart: str, begin: float, end: float) -> None:
    """From one share of the width to another, with the button held."""
    area = over(chromium, chart)
    at = [round((share - 0.5) * area.size["width"]) for share in (begin, end)]
    moves = mouse(chromium).move_to_element_with_offset(area, at[0], 0).click_and_hold()
    moves.move_to_element_with_offset(area, at[1], 4).release().perform()


def shown(chromium: Any, chart: str) -> list[float]:
    """The range of x."""
    return run(chromium, f"const {{min, max}} = page.charts.{CHARTS[chart]}.plot.scales.x; return [min, max]")


def sides(before: list[float], begin: float, end: float) -> list[float]:
    low, high = before
    return [low + begin * (high - low), low + end * (high - low)]


def legend(chromium: Any, chart: str) -> dict[str, str]:
    rows = run(
        chromium,
        f"return [...document.querySelectorAll('#{chart} .u-legend tr:not(.edge)')].map("
        "row => [row.querySelector('.u-label').textContent, row.querySelector('td').textContent])",
    )
    return {name: text.strip() for name, text in rows}


def value(text: str) -> float:
    """The number in a value with its unit."""
    return float(text.split()[0].replace("\N{MINUS SIGN}", "-"))


def back(chromium: Any, chart: str) -> bool:
    """Whether the way back is offered."""
    return run(chromium, f"return !page.charts.{CHARTS[chart]}.back.hidden")


def test_a_dragged_range_of_frequencies_stays_while_spectra_come_and_a_double_click_goes_back(
    opened: Any,
) -> None:
    whole = shown(opened, "spectrum")
    assert whole == [0.0, pytest.approx(14.96667, abs=1e-4)]
    assert not back(opened, "spectrum")
    drag(opened, "spectrum", 0.1, 0.3)
    zoomed = shown(opened, "spectrum")
    assert zoomed == pytest.approx(sides(whole, 0.1, 0.3), abs=0.05)
    assert back(opened, "spectrum")
    first = run(opened, "return page.charts.found.time_s")
    eventually(opened, f"return page.charts.found.time_s > {first}")
    assert shown(opened, "spectrum") == zoomed
    run(opened, "document.querySelector('[data-scale=linear]').click()")
    assert shown(opened, "spectrum") == zoomed
    run(opened, "document.querySelector('[data-scale=log]').click()")
    mouse(opened).double_click(over(opened, "spectrum")).perform()
    assert shown(opened, "spectrum") == whole
    assert not back(opened, "spectrum")
    assert [each for each in opened.get_log("browser") if each["source"] != "rendering"] == []


def test_a_zoomed_displacement_is_held_and_goes_on_afterwards(opened: Any) -> None:
    run(opened, "document.querySelector('[data-span=\"5\"]').click()")
    eventually(opened, "return page.charts.samples.t.length > 160")
    drag(opened, "motion", 0.4, 0.8)
    zoomed = shown(opened, "motion")
    assert zoomed == pytest.approx([-3.0, -1.0], abs=0.05)
    curve = "return page.charts.motionChart.plot.data[2]"
    held, count = run(opened, curve), run(opened, "return page.charts.samples.t.at(-1)")
    eventually(opened, f"return page.charts.samples.t.at(-1) > {count} + 1")
    assert run(opened, curve) == held
    assert shown(opened, "motion") == zoomed
    mouse(opened).double_click(over(opened, "motion")).perform()
    assert shown(opened, "motion") == [-5, 0]
    assert changes(opened, "motion")
    drag(opened, "motion", 0.4, 0.8)
    assert back(opened, "motion")
    run(opened, "page.charts.motionChart.back.click()")
    assert shown(opened, "motion") == [-5, 0]
    run(opened, "document.querySelector('[data-span=\"15\"]').click()")
    assert shown(opened, "motion") == [-15, 0]


def test_the_legend_tells_the_values_under_the_cursor(opened: Any) -> None:
    assert set(legend(opened, "spectrum").values()) == {""}
    area = over(opened, "spectrum")
    left = 100
    mouse(opened).move_to_element_with_offset(area, left - area.size["width"] // 2, 0).perform()
    found = run(opened, "return page.charts.found.axes.y")
    told = legend(opened, "spectrum")
    if run(opened, "return page.charts.found.axes.y") != found:  # a new one came in between
        found, told = run(opened, "return page.charts.found.axes.y"), legend(opened, "spectrum")
    at_hz = left / area.size["width"] * found["frequency_hz"][-1]
    nearest = min(range(len(found["frequency_hz"])), key=lambda n: abs(found["frequency_hz"][n] - at_hz))
    assert value(told["at"]) == pytest.approx(found["frequency_hz"][nearest], abs=0.04)
    index = round(value(told["at"]) * 30)  # bins of 1/30 Hz
    assert abs(index - nearest) <= 1  # the pointer stands on whole pixels
    assert value(told["vertical"]) == pytest.approx(MM_PER_PX * found["amplitude_px"][index], rel=0.005)
    assert value(told["noise"]) == pytest.approx(MM_PER_PX * 0.0006, rel=0.005)
    assert told["vertical"].endswith("\u202fmm")

    drag(opened, "motion", 0.3, 0.9)  # holds it
    mouse(opened).move_to_element(over(opened, "motion")).perform()
    told = legend(opened, "motion")
    end, times, down = run(opened, "const {end, t, y} = page.charts.view; return [end, t, y]")
    nearest = min(range(len(times)), key=lambda n: abs(times[n] - end - value(told["at"])))
    assert value(told["vertical (down)"]) == pytest.approx(MM_PER_PX * down[nearest], rel=0.006)
    mouse(opened).double_click(over(opened, "motion")).perform()

    mouse(opened).move_to_element(over(opened, "frequencies")).perform()
    told = legend(opened, "frequencies")
    hz, _, deviation = told["mode 1"].partition(" ± ")
    assert float(hz) == pytest.approx(MODES_HZ[0], abs=0.0121)
    assert deviation == "0.0040\u202fHz"
    assert ":" in told["at"]  # a time of day


def test_a_click_or_a_drag_between_two_samples_does_not_zoom(opened: Any) -> None:
    whole = shown(opened, "frequencies")
    mouse(opened).click(over(opened, "frequencies")).perform()
    drag(opened, "frequencies", 0.5, 0.505)
    assert shown(opened, "frequencies") == whole
    for begin, end in ((0.2, 0.6), (0.4, 0.6), (0.4, 0.6), (0.4, 0.6), (0.4, 0.6), (0.4, 0.6), (0.4, 0.6)):
        drag(opened, "frequencies", begin, end)
    low, high = shown(opened, "frequencies")
    assert high - low > 60  # points are 30 s apart


@pytest.mark.parametrize("opened", [PHONE], ids=["phone"], indirect=True)
def test_a_finger_zooms(opened: Any) -> None:
    area = over(opened, "spectrum")
    whole, box = shown(opened, "spectrum"), area.rect
    top = run(opened, "return document.querySelector('#spectrum .u-over').getBoundingClientRect().top")
    for step in range(6):
        point = {"x": box["x"] + box["width"] * (0.2 + 0.08 * step), "y": top + 60}
        opened.execute_cdp_cmd(
            "Input.dispatchTouchEvent",
            {"type": "touchMove" if step else "touchStart", "touchPoints": [point]},
        )
    opened.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert shown(opened, "spectrum") == pytest.approx(sides(whole, 0.2, 0.6), abs=0.15)
    run(opened, "page.charts.spectrumChart.back.click()")
    assert shown(opened, "spectrum") == whole


COLUMNS = """
return (async () => {
  const {charts} = page, times = [], x = [], y = [];
  for (let n = 0; n < 150; n += 1) {
    if (n >= 60 && n < 75) continue;  // frames were lost
    times.push(1000 + n / 10);
    x.push(n >= 100 && n < 115 ? null : 0.1);  // measured as NaN
    y.push(-0.1);
  }
  charts.motion({generation: -1, region: charts.region, times_s: times, x_px: x, y_px: y});
  charts.clock = null;  // the last sample is now
  charts.showMotion();
  await new Promise((done) => setTimeout(done));
  const {plot} = charts.motionChart, {ctx, bbox} = plot;
  return [3, 6.7, 9, 10.7, 13].map((s) => {
    const column = Math.round(plot.valToPos(s - 14.9, "x", true));
    const {data} = ctx.getImageData(column, bbox.top + 2, 1, bbox.height - 4);
    const found = new Set();
    for (let n = 0; n < data.length; n += 4) {
      if (data[n] - data[n + 2] > 60) found.add("x");
      if (data[n + 2] - data[n] > 60) found.add("y");
    }
    return [...found].sort().join("");
  });
})();
"""


def test_no_line_is_drawn_where_frames_or_values_are_missing(opened: Any) -> None:
    wanted = ["xy", "", "xy", "y", "xy"]
    # The page's own samples may come between drawing and looking.
    assert any(run(opened, COLUMNS) == wanted for _ in range(5))
    eventually(opened, "return page.charts.generation >= 0")


def test_colours_follow_the_theme_and_sizes_the_window(opened: Any) -> None:
    colour = "return page.charts.spectrumChart.plot.series[2].stroke()"
    before = run(opened, colour)
    drag(opened, "spectrum", 0.1, 0.3)
    zoomed = shown(opened, "spectrum")
    run(opened, "document.getElementById('theme').click()")
    assert {before, run(opened, colour)} == {"#0b6bc4", "#5fb3ff"}
    assert shown(opened, "spectrum") == zoomed
    run(opened, "document.getElementById('theme').click()")
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 700, "height": 900, "deviceScaleFactor": 2, "mobile": False},
    )
    fits = """
      return ["motion", "spectrum", "frequencies"].every((name) => {
        const holder = document.getElementById(name), canvas = holder.querySelector("canvas");
        const legend = holder.querySelector(".u-legend");
        return canvas.width === 2 * holder.clientWidth
          && canvas.height === 2 * (holder.clientHeight - legend.offsetHeight);
      });
    """
    eventually(opened, fits)


def test_thinned_out_frequencies_keep_every_mode() -> None:
    points = [
        NaturalFrequency(mode, float(mode), 0.01, None, 30.0 * n) for n in range(6000) for mode in (1, 2, 3)
    ]
    told = answers.frequencies(points)
    assert len(told["mode"]) <= answers.MOST_POINTS
    assert [told["mode"].count(mode) for mode in (1, 2, 3)] == [1000, 1000, 1000]
    assert told["time_s"][-3:] == [30.0 * 5999] * 3
