// Rows about the device and the software on it; a value that is not known has no row.

import { NOTHING, bytes, duration, number, withUnit } from "./format.js";

const LOST = {
  source: "at the camera or its link", unfetched: "fetched too late", late: "too much to do", no_slot: "too much to do", corrupt: "damaged",
  abandoned: "camera opened again",
};
const REASONS = { viewer: "somebody watches", event: "an event is recorded", always: "always" };
const LIMITS = { oc1: "voltage too low", oc2: "current too high", oc3: "peak of current" };

// Name and text of each row, in order.
export function deviceRows(state) {
  return [...cameraRows(state), ...workRows(state), ...heatRows(state), ...loadRows(state.device), ...serviceRows(state)]
    .filter(([, text]) => text);
}

function cameraRows({ camera }) {
  const drops = Object.entries(camera.drops).filter(([, count]) => count).map(([why, count]) => `${count} (${LOST[why] ?? why})`);
  const status = camera.faults.length ? `${camera.status}: ${camera.faults.join(", ")}` : camera.status;
  const jitter = camera.jitter_ms !== null && camera.jitter_ms < 0.01 ? "under 0.01\u202fms" : withUnit(camera.jitter_ms, "ms", 2);
  return [
    ["Camera", list(camera.source, status)],
    ["Frames", list(camera.width_px ? `${camera.width_px} \u00d7 ${camera.height_px} px` : "",
      known(withUnit(camera.rate_hz, "frames/s", 4)), known(jitter, "jitter "))],
    ["Sensor", list(camera.mode && `mode ${camera.mode}`, camera.times && `times of the ${camera.times}`, camera.memory && `memory ${camera.memory}`)],
    ["Dropped", camera.numbered || drops.length ? drops.join(", ") || "none" : ""],
  ];
}

function workRows({ magnification, stages }) {
  const why = magnification.reasons.map((each) => REASONS[each] ?? each).join(", ");
  const took = (stage) => stages[stage]
    ? `${withUnit(stages[stage].median_ms, "ms")} a frame, ${withUnit(stages[stage].p99_ms, "ms")} for the slowest in a hundred` : "";
  return [
    ["Magnification", magnification.active ? `on (${why})` : `rests${magnification.why_not ? `: ${magnification.why_not}` : ""}`],
    ["Runs on", list(magnification.engine, magnification.precision)],
    ["Measuring", took("measure")],
    ["Magnifying", took("step")],
    ["Until it shows", took("total")],
  ];
}

function heatRows({ device }) {
  const limits = Object.entries(device.limit_events).filter(([, count]) => count).map(([limit, count]) => `${count} \u00d7 ${LIMITS[limit] ?? limit}`);
  return [
    ["Temperature", each(device.temperatures_c, (c) => `${number(c, 3)}\u202f\u00b0C`)],
    ["Heat", device.governor || (device.governor_level ? `level ${device.governor_level}` : "full speed")],
    ["Slowed down by", device.throttled.join(", ")],
    ["Limits met", limits.join(", ")],
  ];
}

function loadRows({ reading, note, rss_bytes }) {
  const rails = Object.entries(reading.rails_w).filter(([rail]) => rail !== reading.power_of);
  const whole = reading.power_of && !reading.power_of.includes(" + ") ? ` (${reading.power_of})` : "";
  const swap = reading.swap_total_bytes ? `swap ${bytes(reading.swap_used_bytes)} of ${bytes(reading.swap_total_bytes)}` : "";
  const memory = reading.memory_total_bytes
    ? `${bytes(reading.memory_used_bytes)} of ${bytes(reading.memory_total_bytes)}` : "";
  const fans = [...new Set([...Object.keys(reading.fan_duty_ratio), ...Object.keys(reading.fan_speed_rpm)])];
  const clocks = { true: "clocks held", false: "clocks by load" }[reading.jetson_clocks];
  return [
    ["Power", list(known(withUnit(reading.power_w, "W")) && `${withUnit(reading.power_w, "W")}${whole}`,
      each(Object.fromEntries(rails), (w) => withUnit(w, "W")))],
    ["Power mode", list(reading.power_mode, clocks)],
    ["GPU", list(percent(reading.gpu_load_ratio), clock(reading.gpu_frequency_hz, reading.gpu_frequency_max_hz))],
    ["Memory traffic", list(percent(reading.emc_load_ratio), clock(reading.emc_frequency_hz, reading.emc_frequency_max_hz))],
    ["Processor", list(percent(reading.cpu_load_ratio), reading.cpu_cores ? `${reading.cpu_cores} cores` : "", clock(reading.cpu_frequency_hz))],
    ["Video units", each(reading.engines, ({ active, frequency_hz }) => active === false ? "off" : clock(frequency_hz) || "on")],
    ["Fan", fans.map((fan) => list(fans.length > 1 ? fan : "", percent(reading.fan_duty_ratio[fan]), known(withUnit(reading.fan_speed_rpm[fan], "rpm", 4)))).join("; ")],
    ["Memory", list(memory, rss_bytes ? `this program ${bytes(rss_bytes)}` : "", swap)],
    ["Told by", note ? `${reading.source}; ${note}` : ""],
  ];
}

function serviceRows({ storage, recoveries, viewers, uptime_s, version }) {
  const rungs = Object.entries(recoveries).filter(([, count]) => count).map(([rung, count]) => `${count} \u00d7 ${rung}`);
  return [
    ["Disk", known(bytes(storage.free_bytes), "", " free")],
    ["Clips", Object.entries(storage.clips).map(([what, count]) => `${count} ${what}`).join(", ") || "none"],
    ["Recoveries", rungs.join(", ") || "none"],
    ["Watching", `${viewers}`],
    ["Running for", duration(uptime_s)],
    ["Version", version],
  ];
}

function list(...parts) {
  return parts.filter(Boolean).join(", ");
}

function known(text, before = "", after = "") {
  return text === NOTHING ? "" : `${before}${text}${after}`;
}

function each(values, say) {
  return Object.entries(values).map(([name, value]) => `${name} ${say(value)}`).join(", ");
}

function percent(ratio) {
  return ratio === null || ratio === undefined ? "" : `${Math.round(100 * ratio)}\u202f%`;
}

function clock(hz, most = null) {
  if (hz === null) return "";
  const text = `${Math.round(hz / 1e6)}`;
  return most === null ? `${text}\u202fMHz` : `${text} of ${Math.round(most / 1e6)}\u202fMHz`;
}
