// Text panels of the page: status, alarms, regions, events, the device.

import { deviceRows } from "./device.js";
import { NOTHING, clock, element, number, setting, show, withUnit } from "./format.js";

const $ = (id) => document.getElementById(id);
const PHASES = { learning: "learning", normal: "normal", pending: "above, waiting", raised: "raised", clearing: "raised, falling" };

export class Panels {
  constructor({ choose, send, refresh }) {
    this.choose = choose;
    this.send = send;
    this.refresh = refresh;
    this.attention = "";
    $("adjust").addEventListener("submit", (event) => { event.preventDefault(); this.adjust(); });
    $("adjust").addEventListener("input", () => { this.touched = true; });
    $("record").addEventListener("click", () => this.record());
  }

  lost(why) {
    $("status").className = "status lost";
    $("verdict").textContent = `${why}; trying again`;
  }

  state(state, region) {
    $("name").textContent = state.name;
    $("status").className = `status ${state.ok ? "ok" : "bad"}`;
    $("verdict").textContent = state.ok ? `${number(state.camera.rate_hz, 4)} frames/s` : state.verdict;
    $("leave").hidden = !state.logged_in;
    this.may = state.may_control;
    $("record").hidden = !state.may_control;
    this.problems(state);
    this.raised(state);
    this.magnification(state);
    this.regions(state, region);
    this.rules(state);
    this.device(state);
  }

  problems(state) {
    const outputs = Object.entries(state.outputs).filter(([, text]) => text).map(([name, text]) => `${name}: ${text}`);
    const storage = state.storage;
    const lines = [
      ...(state.ok ? [] : [state.verdict]),
      ...state.problems,
      ...outputs,
      ...(storage.trouble ? [`storage: ${storage.trouble}`] : []),
      ...storage.remarks.map((text) => `storage: ${text}`),
      ...(storage.given_up.length ? [`disk low: no more ${storage.given_up.join(", ")}`] : []),
      ...(state.reload.refused ? [`changed configuration refused: ${state.reload.refused}`] : []),
      ...(state.reload.needs_restart.length ? [`after a restart: ${state.reload.needs_restart.join(", ")}`] : []),
    ];
    $("problems").hidden = !lines.length;
    show($("problems"), lines, ...lines.map((line) => element("p", {}, line)));
  }

  raised(state) {
    const wanting = state.alarms.filter((alarm) => alarm.needs_attention);
    const key = wanting.map(({ rule, raised, acknowledged_s, raised_s }) => [rule.name, raised, acknowledged_s, raised_s, this.may]);
    document.title = `${wanting.length ? "\u26a0 " : ""}${state.name}`;
    show($("raised"), key, () => wanting.map((alarm) => this.banner(alarm)));
    const attention = JSON.stringify(key);
    if (attention !== this.attention) this.refresh();
    this.attention = attention;
  }

  banner(alarm) {
    const { rule } = alarm;
    const seen = alarm.acknowledged_s !== null;
    const threshold = withUnit(rule.threshold, alarm.unit);
    const what = {
      signal: `nothing came from ${rule.source} for ${threshold}`,
      frequency: `${rule.source} has moved by ${threshold} or more`,
    }[rule.quantity] ?? `${rule.quantity} of ${rule.source} passed ${threshold}`;
    const text = element("p", {}, element("strong", {}, `${alarm.raised ? "Alarm" : "Alarm is over"}: ${rule.name}`),
      ` ${what}, ${clock(alarm.raised_s)}${seen ? `, acknowledged ${clock(alarm.acknowledged_s, false)}` : ""}`);
    const button = element("button", { type: "button", "data-acknowledge": rule.name }, "Acknowledge");
    button.addEventListener("click", () => this.acknowledge(rule.name, button));
    return element("div", { class: `alarm ${alarm.raised ? "on" : "over"} ${seen ? "seen" : ""}` }, text,
      seen || !this.may ? null : button);
  }

  async acknowledge(name, button) {
    button.disabled = true;
    try {
      await this.send("api/acknowledge", { alarm: name });
    } catch (error) {
      button.disabled = false;
      button.textContent = `Acknowledge (${error.message})`;
    }
  }

  magnification({ magnification, may_adjust }) {
    const bands = magnification.bands_hz.map(([low, high]) => `${setting(low)} to ${setting(high)} Hz`).join(", ");
    const mode = magnification.mode === "band" && bands ? bands : magnification.mode;
    const parts = magnification.active
      ? [`\u00d7 ${setting(magnification.amplification)}`, mode, ...(magnification.settling_left_s > 0.05
        ? [`settling, ${number(magnification.settling_left_s, 2)} s left`] : []), magnification.why_not]
      : ["as filmed", ...(magnification.why_not ? [magnification.why_not] : [])];
    $("magnification").textContent = parts.filter(Boolean).join(" \u00b7 ");
    $("adjust").hidden = !may_adjust;
    for (const label of document.querySelectorAll("#adjust .band")) label.hidden = magnification.mode !== "band";
    if (!this.touched) {
      $("amplification").value = magnification.amplification;
      const [low, high] = magnification.bands_hz[0] ?? ["", ""];
      $("band-low").value = low;
      $("band-high").value = high;
    }
    this.magnified = magnification;
  }

  async adjust() {
    const body = { amplification: Number($("amplification").value) };
    const [low, high] = [Number($("band-low").value), Number($("band-high").value)];
    const others = this.magnified.bands_hz.slice(1);
    if (this.magnified.mode === "band" && low > 0) body.bands_hz = [[low, high], ...others];
    $("adjusted").textContent = "";
    try {
      await this.send("api/adjust", body);
      this.touched = false;
      $("adjusted").textContent = "applied until the next restart";
    } catch (error) {
      $("adjusted").textContent = error.message;
    }
  }

  async record() {
    try {
      const { event } = await this.send("api/record", { reason: "by hand, on the page" });
      $("record").textContent = event ? "Recording \u2026" : "Nothing is recorded";
    } catch (error) {
      $("record").textContent = error.message;
    }
    setTimeout(() => { $("record").textContent = "Record a clip"; }, 4000);
  }

  regions(state, region) {
    const to = state.rates_true_hz ? ` to ${withUnit(state.rates_true_hz[1], "Hz")}` : "";
    const head = ["Region", "RMS", "Peak", `Velocity${to}`, `Acceleration${to}`, "Natural frequencies"];
    const rows = state.regions.map((each) => {
      const inMm = each.mm_per_px !== null && $("units").querySelector("[aria-pressed=true]").dataset.unit === "mm";
      const [unit, scale, share] = inMm ? ["mm", each.mm_per_px, each.scale_relative_sigma] : ["px", 1, 0];
      const told = (value, of) => (share && value ? `${number(value)}\u202f\u00b1\u202f${withUnit(share * value, of, 2)}` : withUnit(value, of));
      const rate = (levels, inPx, physical, factor) => (each.trouble || !levels || levels.rms === null ? NOTHING
        : `${inMm ? told(levels.rms * scale * factor, physical) : withUnit(levels.rms, inPx)} (noise ${number(levels.noise && levels.noise * (inMm ? scale * factor : 1), 2)})`);
      const hz = each.frequencies.map((one) => number(one.frequency_hz, 4)).join(", ");
      const below = each.displacement_rms_px !== null && each.noise_floor_px !== null
        && each.displacement_rms_px < 1.5 * each.noise_floor_px;
      return [
        each.name,
        each.trouble ? NOTHING : told(each.displacement_rms_px === null ? null : each.displacement_rms_px * scale, unit),
        each.trouble ? NOTHING : told(each.displacement_peak_px === null ? null : each.displacement_peak_px * scale, unit),
        rate(each.velocity_px_s, "px/s", "mm/s", 1), rate(each.acceleration_px_s2, "px/s\u00b2", "m/s\u00b2", 1e-3),
        each.trouble || (hz ? `${hz} Hz` : below ? "still (noise only)" : NOTHING),
      ];
    });
    show($("regions"), [rows, region], () => [
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map((cells) => {
        const pick = element("button", { type: "button", class: "pick", "aria-pressed": String(cells[0] === region) }, cells[0]);
        pick.addEventListener("click", () => this.choose(cells[0]));
        return element("tr", { class: cells[0] === region ? "chosen" : null },
          element("th", { scope: "row" }, pick), ...cells.slice(1).map((text) => element("td", {}, text)));
      })),
    ]);
  }

  rules(state) {
    const head = ["Alarm", "Now", "Raised from", "State"];
    const rows = state.alarms.map((alarm) => [
      alarm.rule.name, withUnit(alarm.value, alarm.unit), withUnit(alarm.rule.threshold, alarm.unit),
      [PHASES[alarm.phase] ?? alarm.phase, alarm.detail].filter(Boolean).join(": "),
    ]);
    show($("rules"), rows, () => rows.length ? [
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map((cells, n) => element("tr", { class: state.alarms[n].raised ? "on" : null },
        element("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((text) => element("td", {}, text))))),
    ] : [element("caption", {}, "no alarm is set up")]);
  }

  device(state) {
    const rows = deviceRows(state);
    show($("device"), rows, () => rows.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
  }
}
