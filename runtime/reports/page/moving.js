// A photograph that moves as a mode does: every pixel is taken from where it came from, by the shape between the regions.
// Of the report, and of the service's page. data: {width, height, frame_px, reach_px, most_px, anchors: [[x, y]],
// modes: [{label, name, text, amplitude_px, parts: [[x re, x im, y re, y im]], clip, without, command}]}, in pixels of the
// photograph; reports/moving.py makes it.

"use strict";

const CELL_PX = 8, REST = 0.03, PERIOD_MS = 1600, SHOWN_SHARE = 0.4;

const digits = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(4)).toString());

function element(tag, settings, ...children) {
  const made = Object.assign(document.createElement(tag), settings);
  made.append(...children);
  return made;
}

class Bender {
  constructor(canvas, photo, data) {
    const { width, height } = data;
    Object.assign(canvas, { width, height });
    Object.assign(this, { data, width, height, context: canvas.getContext("2d", { willReadFrequently: true }) });
    this.context.drawImage(photo, 0, 0, width, height);
    this.source = this.context.getImageData(0, 0, width, height).data;
    this.target = this.context.getImageData(0, 0, width, height);
    this.columns = Math.ceil(width / CELL_PX) + 1;
    this.rows = Math.ceil(height / CELL_PX) + 1;
    this.moved = new Float32Array(2 * this.columns * this.rows);
  }

  // Takes a mode: its motion at the corners of all cells, as complex numbers.
  take({ parts }) {
    const { anchors, reach_px: reach } = this.data;
    this.field = new Float32Array(4 * this.columns * this.rows);
    for (let at = 0; at < this.columns * this.rows; at += 1) {
      const x = (at % this.columns) * CELL_PX, y = Math.floor(at / this.columns) * CELL_PX;
      let all = REST;
      const sum = [0, 0, 0, 0];
      anchors.forEach(([ax, ay], n) => {
        const weight = Math.exp(-((x - ax) ** 2 + (y - ay) ** 2) / (2 * reach * reach));
        all += weight;
        for (let k = 0; k < 4; k += 1) sum[k] += weight * parts[n][k];
      });
      for (let k = 0; k < 4; k += 1) this.field[4 * at + k] = sum[k] / all;
    }
  }

  // Draws the moment of a phase in radians, its largest part size_px long.
  draw(phase, size_px) {
    const { field, moved, columns, rows } = this, c = size_px * Math.cos(phase), s = size_px * Math.sin(phase);
    for (let at = 0; at < columns * rows; at += 1) {
      moved[2 * at] = c * field[4 * at] - s * field[4 * at + 1];
      moved[2 * at + 1] = c * field[4 * at + 2] - s * field[4 * at + 3];
    }
    for (let y = 0; y < this.height; y += 1) {
      for (let column = 0; column < columns - 1; column += 1) this.drawCells(y, column);
    }
    this.context.putImageData(this.target, 0, 0);
  }

  // Draws a line of a cell: displacement is linear along it.
  drawCells(y, column) {
    const { moved, columns, width, height, source, target: { data } } = this;
    const down = (y % CELL_PX) / CELL_PX, at = 2 * (Math.floor(y / CELL_PX) * columns + column), below = at + 2 * columns;
    let ux = moved[at] + down * (moved[below] - moved[at]), uy = moved[at + 1] + down * (moved[below + 1] - moved[at + 1]);
    const dx = (moved[at + 2] + down * (moved[below + 2] - moved[at + 2]) - ux) / CELL_PX;
    const dy = (moved[at + 3] + down * (moved[below + 3] - moved[at + 3]) - uy) / CELL_PX;
    const from = column * CELL_PX, to = Math.min(width, from + CELL_PX);
    for (let x = from; x < to; x += 1, ux += dx, uy += dy) {
      const sx = Math.min(Math.max(x - ux, 0), width - 1.001), sy = Math.min(Math.max(y - uy, 0), height - 1.001);
      const left = sx | 0, top = sy | 0, fx = sx - left, fy = sy - top;
      const a = 4 * (top * width + left), b = a + 4 * width, out = 4 * (y * width + x);
      for (let k = 0; k < 3; k += 1) {
        const upper = source[a + k] + fx * (source[a + 4 + k] - source[a + k]);
        data[out + k] = upper + fy * (source[b + k] + fx * (source[b + 4 + k] - source[b + k]) - upper);
      }
    }
  }
}

// A section in which modes are chosen and move.
class Moving {
  constructor(section) {
    this.choice = element("p", { className: "choice" });
    this.canvas = element("canvas", { role: "img", ariaLabel: "The photograph, bent by the mode that is chosen" });
    this.button = element("button", { type: "button", onclick: () => this.go(!this.playing) });
    this.size = element("input", { type: "range", min: 2, max: 100, value: 100 * SHOWN_SHARE, oninput: () => this.draw() });
    this.told = element("p", { className: "told small" });
    this.beside = element("div", { className: "beside" });
    const controls = element("p", { className: "controls" }, this.button, " ", element("label", {}, "Size ", this.size));
    this.parts = [this.choice, this.canvas, controls, this.told, this.beside];
    Object.assign(this, { visible: true, phase: 0, before: null });
    new IntersectionObserver(([{ isIntersecting }]) => { this.visible = isIntersecting; this.wake(); }).observe(this.canvas);
    this.section = section;
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  // Shows modes on a photograph, an image that is there; the chosen one stays chosen.
  show(photo, data) {
    if (!this.data) this.section.append(...this.parts);
    this.data = data;
    this.bender = new Bender(this.canvas, photo, data);
    this.buttons = data.modes.map((each, n) => element("button", { type: "button", onclick: () => this.take(n) }, each.name));
    this.choice.replaceChildren(...this.buttons);
    this.section.hidden = false;
    this.take(Math.max(0, data.modes.findIndex(({ label }) => label === this.mode?.label)));
    this.go(this.playing);
  }

  go(on) {
    this.playing = on;
    this.button.textContent = on ? "Pause" : "Play";
    this.wake();
  }

  wake() {
    if (!this.playing || !this.visible || !this.bender || this.before !== null) return;
    this.before = performance.now();
    requestAnimationFrame((now) => this.step(now));
  }

  step(now) {
    if (!this.playing || !this.visible) { this.before = null; return; }
    this.phase = (this.phase + (2 * Math.PI * (now - this.before)) / PERIOD_MS) % (2 * Math.PI);
    this.before = now;
    this.draw();
    requestAnimationFrame((next) => this.step(next));
  }

  draw() {
    const { text, amplitude_px } = this.mode, length = (this.size.value / 100) * this.data.most_px;
    this.bender.draw(this.phase, length);
    const times = (length * this.data.frame_px) / amplitude_px;
    const shown = amplitude_px ? `; shown ${times < 10 ? digits(times) : Math.round(times)} times as large` : "";
    this.told.textContent = `${text}${shown}. Between the regions the shape is interpolated.`;
  }

  take(number) {
    const mode = this.data.modes[number], { clip } = mode, was = this.mode?.clip;
    this.mode = mode;
    this.bender.take(mode);
    this.buttons.forEach((each, n) => each.setAttribute("aria-pressed", n === number));
    this.draw();
    if (clip && clip === was) return; // a clip that plays goes on
    const instead = element("p", { className: "small" }, mode.without, ...(mode.command ? [element("code", {}, mode.command)] : []));
    this.beside.replaceChildren(instead);
    if (!clip) return;
    const video = element("video", { src: clip, controls: true, loop: true, muted: true, playsInline: true, hidden: true });
    const tell = () => instead.replaceChildren("The magnified clip of this band, ", element("a", { href: clip }, clip), ":");
    video.addEventListener("loadedmetadata", () => { video.hidden = false; tell(); });
    if (!mode.command) tell(); // it is known to be there
    this.beside.append(video);
  }
}
