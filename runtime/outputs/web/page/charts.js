// The three charts: displacement, its spectrum, natural frequencies over time.

import { Chart, steady } from "./chart.js";
import { NOTHING, choice, clock, element, number, show, withUnit } from "./format.js";

const X_COLOUR = "--series-x", Y_COLOUR = "--series-y";
const MODE_COLOURS = ["--mode-1", "--mode-2", "--mode-3", "--mode-4", "--mode-5", "--mode-6"];
const KEPT_S = 60;
const LATE_S = 1.5; // age of the latest sample above which frames have stopped
const $ = (id) => document.getElementById(id);

export class Charts {
  constructor() {
    this.scale = null; // mm a pixel, if it is known
    this.region = null;
    this.span = choice($("spans"), "span", () => this.motionChart.zoomTo(null));
    this.unit = choice($("units"), "unit", () => { this.showMotion(); this.showSpectrum(); });
    this.axis = choice($("scales"), "scale", () => this.showSpectrum());
    this.motionChart = new Chart($("motion"), {
      x: () => `time (s), 0 is ${this.motionChart.zoom ? clock(this.view.end, false) : "now"}`, y: "displacement",
      readout: (x) => (this.motionChart.zoom ? withUnit(x, "s") : `${number(-x)}\u202fs ago`),
      range: () => steady(0.002), show: () => this.showMotion(),
    });
    this.spectrumChart = new Chart($("spectrum"), {
      x: "frequency (Hz)", y: "amplitude", readout: (x) => withUnit(x, "Hz", 4), range: spectrumRange, show: () => this.showSpectrum(),
    });
    this.frequencyChart = new Chart($("frequencies"), {
      x: "time of day", y: "frequency", readout: (x) => clock(x), time: true, range: () => roomy, show: () => this.showFrequencies(),
    });
    this.mode = "";
    this.points = null;
    $("modes").addEventListener("click", (event) => {
      if (event.target.dataset?.mode === undefined) return;
      this.mode = event.target.dataset.mode;
      this.showFrequencies();
    });
    this.forget();
  }

  forget() {
    this.samples = { t: [], x: [], y: [] };
    this.found = null;
    this.generation = null;
    for (const chart of [this.motionChart, this.spectrumChart]) {
      chart.zoomTo(null);
      chart.remake();
    }
  }

  motionAfter() {
    return this.samples.t.length ? this.samples.t[this.samples.t.length - 1] : 0;
  }

  spectrumAfter() {
    return this.found?.time_s ?? 0;
  }

  state(state, region) {
    const of = state.regions.find((each) => each.name === region);
    const before = this.scale;
    [this.scale, this.share] = [of?.mm_per_px ?? null, of?.scale_relative_sigma ?? 0];
    this.clock = { device_s: state.time_s, here_ms: performance.now() };
    $("units").hidden = this.scale === null;
    for (const heading of document.querySelectorAll(".chart .of")) heading.textContent = region ? `of ${region}` : "";
    if (this.scale !== before) for (const chart of [this.motionChart, this.spectrumChart]) chart.remake();
  }

  // Unit, px or mm, and the size of a pixel in it.
  shownUnit() {
    return this.scale !== null && this.unit() === "mm" ? ["mm", this.scale, this.share] : ["px", 1, 0];
  }

  motion({ generation, region, times_s, x_px, y_px }) {
    if (generation !== this.generation || region !== this.region) {
      this.samples = { t: [], x: [], y: [] };
      this.generation = generation;
      this.region = region;
      this.motionChart.zoomTo(null);
      this.motionChart.remake();
    }
    const { t, x, y } = this.samples;
    const from = (times_s[times_s.length - 1] ?? -Infinity) - KEPT_S;
    const drop = t.findIndex((each) => each >= from);
    const kept = (list) => (drop < 0 ? [] : list.slice(drop));
    this.samples = { t: kept(t).concat(times_s), x: kept(x).concat(x_px), y: kept(y).concat(y_px) };
    this.showMotion();
  }

  showMotion() {
    const { t } = this.samples;
    // When frames have stopped, the curve moves on to the left, as its data get older.
    const now = this.clock ? this.clock.device_s + (performance.now() - this.clock.here_ms) / 1000 : 0;
    const last = t[t.length - 1] ?? now;
    this.behind = Math.max(0, now - last);
    // A zoomed chart is held, as it would soon move out of sight.
    if (!this.motionChart.zoom) this.view = { ...this.samples, end: this.behind > LATE_S ? now : last };
    const { view } = this, span = Number(this.span()), [unit, scale] = this.shownUnit();
    const seen = view.t[view.t.length - 1] >= view.end - span;
    this.motionChart.draw({
      x: [-span, 0], at: view.t.map((each) => each - view.end), unit,
      empty: seen ? "" : view.t.length ? "nothing was measured in this time" : "nothing is measured yet",
      series: [["horizontal", X_COLOUR, view.x], ["vertical (down)", Y_COLOUR, view.y]].map(([name, colour, list]) => ({
        name, colour, kind: "line", y: scaled(list, scale), text: (value) => withUnit(value, unit),
      })),
    });
  }

  spectrum(answer) {
    if (answer.axes) this.found = answer;
    else if (answer.time_s === null || answer.region !== this.found?.region) this.found = null;
    else return;
    this.showSpectrum();
  }

  showSpectrum() {
    const [unit, scale, share] = this.shownUnit();
    const axes = Object.entries(this.found?.axes ?? {});
    const series = [], marks = [], peaks = [], artefacts = [];
    const [at, ...columns] = axes.length ? uPlot.join(axes.map(([, each]) => [
      each.frequency_hz, each.floor_px ?? each.frequency_hz.map(() => null), each.amplitude_px,
    ])) : [[]];
    axes.forEach(([axis, each], n) => {
      const colour = axis === "x" ? X_COLOUR : Y_COLOUR, name = axis === "x" ? "horizontal" : "vertical";
      const [floor, amplitude] = columns.slice(2 * n, 2 * n + 2).map((list) => scaled(list, scale));
      const text = (value) => withUnit(value, unit);
      series.push({ name: axes.length > 1 ? `noise, ${name}` : "noise", colour: "--faint", kind: "area", y: floor, text });
      series.push({ name, colour, kind: "line", y: amplitude, text });
      for (const peak of each.peaks.slice(0, 5)) {
        marks.push({ x: peak.frequency_hz, y: peak.amplitude_px * scale, colour, text: withUnit(peak.frequency_hz, "Hz", 4) });
        peaks.push(describe(peak, name, [unit, scale, share]));
      }
      for (const peak of each.artefacts.slice(0, 3)) artefacts.push(`${describe(peak, name, [unit, scale, share])} (${peak.cause})`);
    });
    const empty = !axes.some(([, each]) => each.amplitude_px.some((value) => value > 0));
    this.spectrumChart.draw({
      x: [0, empty ? 1 : at[at.length - 1]], at, unit, log: this.axis() === "log", series, marks,
      empty: empty ? "no spectrum yet" : "",
    });
    show($("peaks"), peaks, peaks.join("; ") || (empty ? "" : "no peak stands out of the noise"));
    show($("artefacts"), artefacts, artefacts.length ? `Not motion: ${artefacts.join("; ")}` : "");
  }

  frequencies(points) {
    this.points = points;
    this.showFrequencies();
  }

  showFrequencies() {
    const { mode, time_s, frequency_hz, deviation_hz } = this.points ?? { mode: [], time_s: [], frequency_hz: [] };
    const modes = [...new Set(mode)].sort((a, b) => a - b);
    if (this.mode !== "all" && !modes.includes(Number(this.mode))) this.mode = modes.length ? String(modes[0]) : "";
    show($("modes"), [modes, this.mode], () => [...modes.map(String), ...(modes.length > 1 ? ["all"] : [])].map((each) =>
      element("button", { type: "button", "data-mode": each, "aria-pressed": String(each === this.mode) },
        each === "all" ? "all" : `mode ${each}`)));
    const wanted = this.mode === "all" ? modes : modes.filter((each) => String(each) === this.mode);
    const tables = wanted.map((each) => {
      const rows = [...mode.keys()].filter((n) => mode[n] === each && frequency_hz[n] !== null);
      const off = (n) => deviation_hz[n] ?? 0;
      return [
        rows.map((n) => time_s[n]), rows.map((n) => frequency_hz[n]), rows.map((n) => frequency_hz[n] + off(n)),
        rows.map((n) => frequency_hz[n] - off(n)),
      ];
    });
    const [at, ...columns] = tables.length ? uPlot.join(tables) : [[]];
    const series = wanted.flatMap((each, m) => {
      const colour = MODE_COLOURS[(each - 1) % MODE_COLOURS.length], [hz, high, low] = columns.slice(3 * m);
      return [
        { name: `mode ${each}`, colour, kind: "dots", y: hz, text: (value, n) => `${uncertain(value, high[n] - value)}\u202fHz` },
        { name: "", colour, kind: "edge", y: high, text: () => "" },
        { name: "", colour, kind: "edge", y: low, text: () => "" },
      ];
    });
    const last = at[at.length - 1] ?? Date.now() / 1000, span = at.length ? Math.max(last - at[0], 60) : 3600;
    this.frequencyChart.draw({
      x: [last - span, last], at, unit: "Hz", series, empty: at.length ? "" : "no natural frequency found yet",
    });
  }
}

function scaled(list, scale) {
  return list.map((value) => (value === null || value === undefined ? value : value * scale));
}

function spectrumRange(log) {
  if (!log) return (low, high) => [0, 1.2 * (high || 1)];
  return (low, high) => (high > 0 ? uPlot.rangeLog(Math.max(low, high * 1e-4), 2.2 * high, 10, false) : [0.001, 1]);
}

function roomy(low, high) {
  if (low === null) return [0, 1];
  const room = Math.max(0.08 * (high - low), 0.0005 * high);
  return [low - room, high + room];
}

// A frequency with the digits that its deviation justifies.
function uncertain(hz, deviation_hz) {
  if (!(deviation_hz > 0)) return number(hz, 4);
  const places = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(deviation_hz))));
  return `${hz.toFixed(places)} \u00b1 ${deviation_hz.toFixed(places)}`;
}

// A peak; its amplitude's deviation includes that of the scale, a share of it.
function describe(peak, axis, [unit, scale, share]) {
  const damping = peak.damping_ratio === null ? "" : `, damping ${number(100 * peak.damping_ratio, 2)} %`;
  const off = scale * Math.hypot(peak.amplitude_deviation_px, share * peak.amplitude_px);
  const amplitude = peak.amplitude_px === null ? NOTHING
    : `${number(peak.amplitude_px * scale)}${off > 0 ? ` \u00b1 ${number(off, 2)}` : ""}\u202f${unit}`;
  return `${uncertain(peak.frequency_hz, peak.deviation_hz)} Hz ${axis}: ${amplitude}${damping}`;
}
