// Days and months of one region from the store, with the alarms and events of that time.

import { Chart } from "./chart.js";
import { choice, clock, element, number, show, withUnit } from "./format.js";

const $ = (id) => document.getElementById(id);
const COLOURS = { x: "--series-x", y: "--series-y" }, NAMES = { x: "horizontal", y: "vertical" };
const MARK_COLOURS = { alarm: "--bad", event: "--accent" };
const TOLD = 5;

export class Overview {
  // ask: gets the answer to an address; unit: gives the shown unit and the size of a pixel in it.
  constructor(ask, unit) {
    Object.assign(this, { ask, unit, region: null, end: null, found: null, asked: "" });
    this.span = choice($("overview-spans"), "overview", () => { this.chart.zoomTo(null); });
    this.chart = new Chart($("overview"), {
      x: "time", y: "RMS displacement", time: true, range: () => (low, high) => [0, 1.15 * (high || 1)],
      readout: (x) => clock(x), show: () => { this.draw(); this.refresh(); },
    });
    $("overview-earlier").addEventListener("click", () => this.scroll(-1));
    $("overview-later").addEventListener("click", () => this.scroll(1));
  }

  // The shown time: the zoom, or a span that ends now or where it was scrolled to.
  range() {
    const end = this.end ?? Date.now() / 1000;
    return this.chart.zoom ?? [end - Number(this.span()), end];
  }

  scroll(by) {
    const [from, to] = this.range(), span = to - from, end = to + by * span;
    this.end = end < Date.now() / 1000 - 0.01 * span ? end : null;
    this.chart.zoomTo(this.chart.zoom && this.end ? [end - span, end] : null);
  }

  state(region) {
    const key = JSON.stringify([region, this.unit()]);
    if (key === this.key) return;
    this.key = key;
    this.region = region;
    this.chart.remake();
    this.refresh();
  }

  async refresh() {
    if (!this.region) return;
    const [from, to] = this.range();
    const query = new URLSearchParams({ region: this.region, from, to });
    this.asked = String(query);
    const found = await this.ask(`api/overview?${query}`);
    if (this.asked !== String(query)) return; // another time or region was chosen meanwhile
    this.found = found;
    this.draw();
  }

  draw() {
    const { trouble, axes = {}, marks = [], first_s = null } = this.found ?? { trouble: "waiting for the device \u2026" };
    const [unit, scale] = this.unit(), range = this.range(), names = Object.keys(axes);
    const scaled = (list) => list.map((each) => (each === null ? null : each * scale));
    const tables = names.map((axis) => [axes[axis].start_s, scaled(axes[axis].rms), scaled(axes[axis].low), scaled(axes[axis].high)]);
    const [at, ...columns] = tables.length ? uPlot.join(tables) : [[]];
    this.chart.draw({
      x: range, at, unit, empty: trouble || (at.length ? "" : "nothing is stored of this time"),
      series: names.map((axis, n) => {
        const [rms, low, high] = columns.slice(3 * n, 3 * n + 3);
        const text = (value, k) => (value === null ? "" : `${withUnit(value, unit)} (${number(low[k], 2)} to ${number(high[k], 2)})`);
        return { name: NAMES[axis] ?? axis, colour: COLOURS[axis], kind: "line", y: rms, text };
      }),
      marks: marks.map(({ time_s, kind, text }) => ({ x: time_s, text: kind === "alarm" ? text : "", colour: MARK_COLOURS[kind] })),
    });
    const told = marks.slice(0, TOLD).map(({ time_s, kind, text }) => `${clock(time_s)} ${kind} ${text}`);
    const rest = marks.length > TOLD ? [`and ${marks.length - TOLD} before`] : [];
    show($("overview-marks"), [told, rest], () => [...told, ...rest].map((line) => element("li", {}, line)));
    $("overview-earlier").disabled = first_s === null || range[0] <= first_s;
    $("overview-later").disabled = this.end === null && !this.chart.zoom;
  }
}
