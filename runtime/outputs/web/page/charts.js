// What the three charts show: displacement, its spectrum, natural frequencies over time.

import { Chart, SteadyRange, clockTicks } from "./chart.js";
import { NOTHING, choice, clock, element, number, show, withUnit } from "./format.js";

const X_COLOUR = "--series-x", Y_COLOUR = "--series-y";
const MODE_COLOURS = ["--mode-1", "--mode-2", "--mode-3", "--mode-4", "--mode-5", "--mode-6"];
const KEPT_S = 60;
const LATE_S = 1.5; // behind the device's clock: frames have stopped
const MISSING = 1.5; // times the usual interval: frames are missing, and no line is drawn across
const $ = (id) => document.getElementById(id);

export class Charts {
  constructor() {
    this.scale = null; // mm a pixel, where it is known
    this.region = null;
    this.span = choice($("spans"), "span", () => this.showMotion());
    this.unit = choice($("units"), "unit", () => { this.motionRange.forget(); this.showMotion(); this.showSpectrum(); });
    this.axis = choice($("scales"), "scale", () => this.showSpectrum());
    this.motionChart = new Chart($("motion"), {
      x: "time (s), 0 is now", y: "displacement", readout: (x) => `${number(-x, 3)} s ago`,
    });
    this.spectrumChart = new Chart($("spectrum"), {
      x: "frequency (Hz)", y: "amplitude", readout: (x) => withUnit(x, "Hz", 4),
    });
    this.frequencyChart = new Chart($("frequencies"), { x: "time of day", y: "frequency", readout: (x) => clock(x) });
    this.motionRange = new SteadyRange(0.002);
    this.mode = "";
    this.points = null;
    $("modes").addEventListener("click", (event) => {
      if (event.target.dataset?.mode === undefined) return;
      this.mode = event.target.dataset.mode;
      this.showFrequencies();
    });
    window.addEventListener("themed", () => {
      for (const chart of [this.motionChart, this.spectrumChart, this.frequencyChart]) chart.paint();
    });
    this.forget();
  }

  forget() {
    this.samples = { t: [], x: [], y: [] };
    this.found = null;
    this.generation = null;
    this.motionRange.forget();
  }

  motionAfter() {
    return this.samples.t.length ? this.samples.t[this.samples.t.length - 1] : 0;
  }

  spectrumAfter() {
    return this.found?.time_s ?? 0;
  }

  state(state, region) {
    const of = state.regions.find((each) => each.name === region);
    this.scale = of?.mm_per_px ?? null;
    this.clock = { device_s: state.time_s, here_ms: performance.now() };
    $("units").hidden = this.scale === null;
    for (const heading of document.querySelectorAll(".chart .of")) heading.textContent = region ? `of ${region}` : "";
  }

  // px or mm, and how many of them a pixel is.
  shownUnit() {
    return this.scale !== null && this.unit() === "mm" ? ["mm", this.scale] : ["px", 1];
  }

  motion({ generation, region, times_s, x_px, y_px }) {
    if (generation !== this.generation || region !== this.region) {
      this.samples = { t: [], x: [], y: [] };
      this.generation = generation;
      this.region = region;
      this.motionRange.forget();
    }
    const kept = this.samples;
    kept.t.push(...times_s);
    kept.x.push(...x_px);
    kept.y.push(...y_px);
    const from = kept.t[kept.t.length - 1] - KEPT_S;
    const drop = kept.t.findIndex((t) => t >= from);
    if (drop > 0) for (const list of [kept.t, kept.x, kept.y]) list.splice(0, drop);
    this.showMotion();
  }

  showMotion() {
    const span = Number(this.span());
    const [unit, scale] = this.shownUnit();
    const { t, x, y } = this.samples;
    // Where nothing comes any more the curve moves on to the left, and does not pretend to be of now.
    const now = this.clock ? this.clock.device_s + (performance.now() - this.clock.here_ms) / 1000 : 0;
    const last = t[t.length - 1] ?? now;
    this.behind = Math.max(0, now - last);
    const end = this.behind > LATE_S ? now : last;
    const within = t.findIndex((each) => each >= end - span);
    const first = within < 0 ? t.length : within;
    const times = t.slice(first).map((each) => each - end);
    const gap = MISSING * usualStep(times);
    const scaled = [x, y].map((list) => list.slice(first).map((each) => (each === null ? null : each * scale)));
    let low = Infinity, high = -Infinity;
    for (const list of scaled) {
      for (const value of list) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
    }
    this.motionChart.draw({
      x: [-span, 0], y: this.motionRange.fit(low, high), yUnit: unit,
      empty: times.length ? "" : t.length ? "nothing was measured in this time" : "nothing is measured yet",
      series: [
        { name: "horizontal", colour: X_COLOUR, x: times, y: scaled[0], gap },
        { name: "vertical (down)", colour: Y_COLOUR, x: times, y: scaled[1], gap },
      ],
    });
  }

  spectrum(answer) {
    if (answer.axes) this.found = answer;
    else if (answer.time_s === null || answer.region !== this.found?.region) this.found = null;
    else return;
    this.showSpectrum();
  }

  showSpectrum() {
    const [unit, scale] = this.shownUnit();
    const axes = Object.entries(this.found?.axes ?? {});
    const log = this.axis() === "log";
    const series = [], marks = [], peaks = [];
    let low = Infinity, high = 0, last = 0;
    for (const [axis, each] of axes) {
      const colour = axis === "x" ? X_COLOUR : Y_COLOUR;
      const scaled = each.amplitude_px.map((value) => (value === null ? null : value * scale));
      for (const value of scaled) if (value > 0) { low = Math.min(low, value); high = Math.max(high, value); }
      last = Math.max(last, each.frequency_hz[each.frequency_hz.length - 1] ?? 0);
      if (each.floor_px) {
        const floor = each.floor_px.map((value) => (value === null ? null : value * scale));
        series.push({ name: "noise", colour: "--faint", x: each.frequency_hz, y: floor, fill: true });
      }
      const name = axis === "x" ? "horizontal" : "vertical";
      series.push({ name, colour, x: each.frequency_hz, y: scaled });
      for (const peak of each.peaks.slice(0, 5)) {
        marks.push({ x: peak.frequency_hz, y: peak.amplitude_px * scale, colour, text: withUnit(peak.frequency_hz, "Hz", 4) });
        peaks.push(describe(peak, name, scale, unit));
      }
    }
    const range = log
      ? [10 ** (Math.floor(2 * Math.log10(Math.max(low, high * 1e-4))) / 2), 10 ** (Math.ceil(2 * Math.log10(2.2 * high)) / 2)]
      : [0, 1.2 * high];
    const empty = !(high > 0);
    this.spectrumChart.draw({
      x: [0, empty ? 1 : last], y: empty ? [0.001, 1] : range, yUnit: unit, log, series: once(series), marks,
      empty: empty ? "no spectrum yet" : "",
    });
    show($("peaks"), peaks, peaks.join("; ") || (empty ? "" : "no peak stands out of the noise"));
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
    const wanted = this.mode === "all" ? modes : [Number(this.mode)];
    let low = Infinity, high = -Infinity;
    const series = wanted.map((each) => {
      const line = { name: `mode ${each}`, colour: MODE_COLOURS[(each - 1) % MODE_COLOURS.length], x: [], y: [], dots: true };
      mode.forEach((of, n) => {
        if (of !== each || frequency_hz[n] === null) return;
        line.x.push(time_s[n]);
        line.y.push(frequency_hz[n]);
        const off = deviation_hz[n] ?? 0;
        low = Math.min(low, frequency_hz[n] - off);
        high = Math.max(high, frequency_hz[n] + off);
      });
      return line;
    }).filter((line) => line.x.length);
    const empty = !series.length;
    const first = empty ? 0 : Math.min(...time_s), last = empty ? 1 : Math.max(...time_s);
    const span = Math.max(last - first, 60);
    const room = Math.max(0.08 * (high - low), 0.0005 * high);
    this.frequencyChart.draw({
      x: empty ? [Date.now() / 1000 - 3600, Date.now() / 1000] : [last - span, last], xTicks: clockTicks,
      y: empty ? [0, 1] : [low - room, high + room], yUnit: "Hz", series,
      empty: empty ? "no natural frequency found yet" : "",
    });
  }
}

function usualStep(times) {
  const steps = times.slice(1).map((time, n) => time - times[n]).sort((a, b) => a - b);
  return steps.length ? steps[steps.length >> 1] : 1;
}

function describe(peak, axis, scale, unit) {
  const damping = peak.damping_ratio === null ? "" : `, damping ${number(100 * peak.damping_ratio, 2)} %`;
  const places = peak.deviation_hz > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(peak.deviation_hz)))) : 0;
  const hz = places
    ? `${peak.frequency_hz.toFixed(places)} \u00b1 ${peak.deviation_hz.toFixed(places)}`
    : number(peak.frequency_hz, 4);
  const amplitude = peak.amplitude_px === null ? NOTHING : withUnit(peak.amplitude_px * scale, unit);
  return `${hz} Hz ${axis}: ${amplitude}${damping}`;
}

// Each name but once, so that the legend does not repeat itself.
function once(series) {
  const seen = new Set();
  return series.filter(({ name }) => !seen.has(name) && seen.add(name));
}
