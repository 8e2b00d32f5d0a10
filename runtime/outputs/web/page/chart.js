// Line charts on a canvas: axes with units, grid, legend, values under the pointer. Nothing moves that need not.

import { number, tick, withUnit } from "./format.js";

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const MARGIN = { top: 26, right: 14, bottom: 38, left: 62 };

export function niceStep(span, most) {
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const factor of [1, 2, 5, 10]) if (rough <= factor * power * 1.0001) return factor * power;
  return 10 * power;
}

function linearTicks([low, high], most) {
  const step = niceStep(high - low, most);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
    found.push({ at: n * step, text: tick(n * step, step) });
  }
  return found;
}

function logTicks([low, high]) {
  const found = [];
  for (let power = Math.ceil(Math.log10(low) - 1e-9); 10 ** power <= high * 1.0001; power += 1) {
    const at = 10 ** power;
    found.push({ at, text: at >= 1e-3 && at < 1e4 ? number(at, 1) : `10${superscript(power)}` });
  }
  return found;
}

function superscript(power) {
  return String(power).replace(/./g, (c) => "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"["-0123456789".indexOf(c)]);
}

// Times of day at round minutes or hours.
export function clockTicks([low, high], most) {
  const steps = [1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const step = steps.find((each) => (high - low) / each <= most) ?? 86400;
  const zone = new Date(high * 1000).getTimezoneOffset() * 60;
  const format = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 ? { second: "2-digit" } : {}),
  });
  const found = [];
  for (let at = Math.ceil((low - zone) / step) * step + zone; at <= high; at += step) {
    found.push({ at, text: format.format(new Date(at * 1000)) });
  }
  return found;
}

// A range that stays as it is until the data leave it or fill too little of it.
export class SteadyRange {
  constructor(least) {
    this.least = least;
    this.range = null;
  }

  fit(low, high) {
    if (!(low <= high)) return this.range ?? [-this.least, this.least];
    const middle = (low + high) / 2;
    const span = Math.max(high - low, this.least);
    const now = this.range;
    if (now && low >= now[0] && high <= now[1] && span > 0.3 * (now[1] - now[0])) return now;
    const step = niceStep(1.3 * span, 4);
    this.range = [Math.floor((middle - 0.6 * span) / step) * step, Math.ceil((middle + 0.6 * span) / step) * step];
    return this.range;
  }

  forget() {
    this.range = null;
  }
}

export class Chart {
  constructor(canvas, { x, y, readout }) {
    this.canvas = canvas;
    this.titles = { x, y };
    this.readout = readout;
    this.pointer = null;
    this.content = null;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.paint(); });
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  // content: {x: [low, high], y: [low, high], log, xTicks, yUnit, series: [{name, colour, x, y, fill, dots}], marks, empty}
  draw(content) {
    this.content = content;
    this.paint();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    this.pointer = { x: event.clientX - box.left, y: event.clientY - box.top };
    this.paint();
  }

  paint() {
    const { canvas, content } = this;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!content || !width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = FONT;
    const style = getComputedStyle(canvas);
    const frame = new Frame(content, width, height, style);
    frame.axes(pen, this.titles);
    if (content.empty) frame.say(pen, content.empty);
    pen.save();
    pen.beginPath();
    pen.rect(frame.left, frame.top, frame.width, frame.height);
    pen.clip();
    for (const each of content.series) frame.series(pen, each);
    pen.restore();
    for (const mark of content.marks ?? []) frame.mark(pen, mark);
    frame.legend(pen, this.pointer, this.readout);
  }
}

class Frame {
  constructor(content, width, height, style) {
    this.content = content;
    this.left = MARGIN.left;
    this.top = MARGIN.top;
    this.width = Math.max(1, width - MARGIN.left - MARGIN.right);
    this.height = Math.max(1, height - MARGIN.top - MARGIN.bottom);
    this.colour = (name) => style.getPropertyValue(name).trim() || "#888";
  }

  x(value) {
    const [low, high] = this.content.x;
    return this.left + ((value - low) / (high - low)) * this.width;
  }

  y(value) {
    const [low, high] = this.content.y;
    const share = this.content.log
      ? Math.log(Math.max(value, low * 1e-3) / low) / Math.log(high / low)
      : (value - low) / (high - low);
    return this.top + (1 - share) * this.height;
  }

  axes(pen, titles) {
    const { content } = this;
    const xTicks = (content.xTicks ?? linearTicks)(content.x, Math.floor(this.width / 70));
    const yTicks = content.log ? logTicks(content.y) : linearTicks(content.y, Math.floor(this.height / 34));
    pen.lineWidth = 1;
    pen.strokeStyle = this.colour("--grid");
    pen.fillStyle = this.colour("--faint");
    pen.beginPath();
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const { at, text } of xTicks) {
      const x = Math.round(this.x(at)) + 0.5;
      pen.moveTo(x, this.top);
      pen.lineTo(x, this.top + this.height);
      pen.fillText(text, x, this.top + this.height + 5);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { at, text } of yTicks) {
      const y = Math.round(this.y(at)) + 0.5;
      pen.moveTo(this.left, y);
      pen.lineTo(this.left + this.width, y);
      pen.fillText(text, this.left - 6, y);
    }
    pen.stroke();
    pen.strokeStyle = this.colour("--faint");
    pen.strokeRect(this.left + 0.5, this.top + 0.5, this.width - 1, this.height - 1);
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(titles.x, this.left + this.width / 2, this.top + this.height + MARGIN.bottom - 1);
    pen.save();
    pen.translate(13, this.top + this.height / 2);
    pen.rotate(-Math.PI / 2);
    pen.textBaseline = "middle";
    pen.fillText(`${titles.y} (${content.yUnit})`, 0, 0);
    pen.restore();
  }

  say(pen, text) {
    pen.fillStyle = this.colour("--faint");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(text, this.left + this.width / 2, this.top + this.height / 2);
  }

  series(pen, { colour, x, y, fill, dots, gap }) {
    pen.strokeStyle = pen.fillStyle = this.colour(colour);
    if (dots) {
      const radius = x.length < 100 ? 3 : 1.8;
      for (let n = 0; n < x.length; n += 1) {
        if (y[n] === null) continue;
        pen.beginPath();
        pen.arc(this.x(x[n]), this.y(y[n]), radius, 0, 7);
        pen.fill();
      }
      return;
    }
    pen.lineWidth = fill ? 1 : 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    let before = null;
    for (let n = 0; n < x.length; n += 1) {
      if (y[n] === null) { before = null; continue; }
      const joined = before !== null && !(gap && x[n] - before > gap);
      if (joined) pen.lineTo(this.x(x[n]), this.y(y[n]));
      else pen.moveTo(this.x(x[n]), this.y(y[n]));
      before = x[n];
    }
    if (!fill) { pen.stroke(); return; }
    pen.lineTo(this.left + this.width, this.top + this.height);
    pen.lineTo(this.left, this.top + this.height);
    pen.globalAlpha = 0.25;
    pen.fill();
    pen.globalAlpha = 1;
  }

  // A labelled point, such as a peak.
  mark(pen, { x, y, text, colour }) {
    const at = [this.x(x), Math.max(this.y(y), this.top)];
    if (at[0] < this.left || at[0] > this.left + this.width) return;
    pen.fillStyle = this.colour(colour);
    pen.beginPath();
    pen.arc(at[0], at[1], 3.5, 0, 7);
    pen.fill();
    pen.fillStyle = this.colour("--text");
    const half = pen.measureText(text).width / 2;
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    const right = this.left + this.width;
    pen.fillText(text, Math.min(Math.max(at[0], this.left + half + 2), right - half - 2), Math.max(at[1] - 6, this.top + 14));
  }

  // Names with their colours; with a pointer, the values there.
  legend(pen, pointer, readout) {
    const { content } = this;
    const inside = pointer && pointer.x >= this.left && pointer.x <= this.left + this.width;
    let at = null;
    if (inside) {
      const [low, high] = content.x;
      at = low + ((pointer.x - this.left) / this.width) * (high - low);
      pen.strokeStyle = this.colour("--faint");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(Math.round(pointer.x) + 0.5, this.top);
      pen.lineTo(Math.round(pointer.x) + 0.5, this.top + this.height);
      pen.stroke();
    }
    let x = this.left;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (const { name, colour, x: xs, y: ys } of content.series) {
      const value = at === null ? null : nearest(xs, ys, at);
      const text = value === null ? name : `${name} ${withUnit(value, content.yUnit)}`;
      pen.fillStyle = this.colour(colour);
      pen.fillRect(x, 9, 14, 4);
      pen.fillStyle = this.colour("--text");
      pen.fillText(text, x + 19, 11);
      x += pen.measureText(text).width + 36;
    }
    if (at !== null && readout) {
      pen.textAlign = "right";
      pen.fillStyle = this.colour("--faint");
      pen.fillText(readout(at), this.left + this.width, 11);
    }
  }
}

function nearest(xs, ys, at) {
  let low = 0, high = xs.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < at) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && at - xs[low - 1] < xs[low] - at) low -= 1;
  return ys[low];
}
