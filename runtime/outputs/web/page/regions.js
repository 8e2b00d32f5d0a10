// Regions on the live picture: shown to all; drawn, moved, named and judged by those who may.

import { element, number, show } from "./format.js";

const $ = (id) => document.getElementById(id);
const SIDES = { x_px: "x", y_px: "y", width_px: "width", height_px: "height" };
const LEAST_PX = 8, USUAL_PX = 64, MOUSE_REACH_PX = 10, FINGER_REACH_PX = 22, JUDGE_MS = 200;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const within = (value, least, most) => Math.max(least, Math.min(most, Math.round(value)));

function rectangle(attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export class Regions {
  constructor(send) {
    this.send = send;
    this.boxes = null; // those that are edited; null while nothing is
    this.unjudged = new Set();
    $("show-regions").addEventListener("change", () => { $("overlay").toggleAttribute("hidden", !$("show-regions").checked); });
    $("edit-regions").addEventListener("click", () => this.open());
    $("add-region").addEventListener("click", () => this.add().rect.focus());
    $("editor-cancel").addEventListener("click", () => this.close(""));
    $("editor").addEventListener("submit", (event) => { event.preventDefault(); this.apply(); });
    $("overlay").addEventListener("pointerdown", (event) => this.press(event));
    $("overlay").addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"]) $("overlay").addEventListener(kind, () => { this.grip = null; });
  }

  state({ camera, regions, still_px, may_adjust }, region) {
    this.size = [camera.width_px || 1, camera.height_px || 1];
    this.present = regions.filter((each) => each.rectangle_px).concat(
      still_px.map((rectangle_px, n) => ({ name: `still ${n + 1}`, rectangle_px, still: true })));
    this.region = region;
    $("edit-regions").hidden = !may_adjust || !camera.width_px || this.boxes !== null;
    $("overlay").setAttribute("viewBox", `0 0 ${this.size.join(" ")}`);
    if (this.boxes) return;
    const key = [this.size, region, this.present.map(({ name, rectangle_px }) => [name, rectangle_px])];
    show($("overlay"), key, () => this.present.map(({ name, still, rectangle_px: [x, y, width, height] }) => (
      rectangle({ x, y, width, height, class: still ? "still" : name === region ? "chosen" : "" }))));
  }

  open() {
    this.boxes = [];
    this.editing(true);
    for (const { name, rectangle_px, still } of this.present) this.add(rectangle_px, name, still);
    this.before = this.present.map(({ name }) => name);
    this.say("");
    (this.boxes[0]?.rect ?? $("add-region")).focus({ preventScroll: true });
  }

  editing(isOn) {
    const overlay = $("overlay");
    overlay.replaceChildren();
    delete overlay.dataset.shown;
    overlay.classList.toggle("editing", isOn);
    overlay.setAttribute("aria-hidden", String(!isOn));
    overlay.toggleAttribute("hidden", !isOn && !$("show-regions").checked);
    $("boxes").replaceChildren();
    $("editor").hidden = !isOn;
    $("edit-regions").hidden = isOn;
  }

  close(text, block = "") {
    this.boxes = null;
    this.grip = null;
    this.unjudged.clear();
    this.editing(false);
    this.say(text, block);
    $("edit-regions").focus({ preventScroll: true });
  }

  say(text, block = "") {
    $("regions-said").textContent = text;
    $("regions-block").textContent = block;
    $("regions-block").hidden = !block;
  }

  add(sides = null, present = null, wasStill = false) {
    const free = this.boxes.map((_, n) => `region ${n + 1}`).find((each) => this.boxes.every((box) => box.name.value !== each));
    const name = present ?? free ?? `region ${this.boxes.length + 1}`;
    const field = (label, attributes) => element("input", { required: true, "aria-label": label, ...attributes });
    const box = { was: present, wasStill, sides: [0, 0, 0, 0], rect: rectangle({ tabindex: 0, role: "button" }), verdict: element("output") };
    box.still = element("input", { type: "checkbox", checked: wasStill, "aria-label": `${name} stands still` });
    box.name = field("Name", { type: "text", maxlength: 64, value: name });
    box.fields = Object.values(SIDES).map((label) => field(`${label} of ${name}, px`, { type: "number", min: 0, step: 1 }));
    const remove = element("button", { type: "button", class: "quiet", "aria-label": `Delete ${name}`,
      onclick: () => this.remove(box) }, "Delete");
    const labels = box.fields.map((each, n) => element("label", {}, `${Object.values(SIDES)[n]} `, each));
    box.row = element("li", {}, box.name, ...labels, element("label", {}, box.still, " stands still"), remove, box.verdict);
    box.row.addEventListener("change", () => this.move(box, box.fields.map((each) => Number(each.value))));
    box.row.addEventListener("focusin", () => this.choose(box));
    box.rect.addEventListener("focus", () => this.choose(box));
    box.rect.addEventListener("keydown", (event) => this.key(event, box));
    $("overlay").append(box.rect);
    $("boxes").append(box.row);
    this.boxes.push(box);
    const side = Math.min(USUAL_PX, ...this.size);
    this.move(box, sides ?? [...this.size.map((whole) => (whole - side) / 2), side, side]);
    return box;
  }

  remove(box) {
    box.rect.remove();
    box.row.remove();
    this.boxes = this.boxes.filter((each) => each !== box);
    this.unjudged.delete(box);
    (this.boxes[0]?.rect ?? $("add-region")).focus({ preventScroll: true });
  }

  choose(chosen) {
    for (const box of this.boxes ?? []) mark(box, "chosen", box === chosen);
    const list = $("boxes"), top = chosen.row.offsetTop - list.offsetTop; // the list alone scrolls, never the page
    list.scrollTop = Math.min(Math.max(list.scrollTop, top + chosen.row.offsetHeight - list.clientHeight), top);
    this.chosen = chosen;
  }

  move(box, [x, y, width, height]) {
    const [wide, high] = this.size;
    const [w, h] = [within(width, LEAST_PX, wide), within(height, LEAST_PX, high)];
    box.sides = [within(x, 0, wide - w), within(y, 0, high - h), w, h];
    ["x", "y", "width", "height"].forEach((side, n) => box.rect.setAttribute(side, box.sides[n]));
    box.fields.forEach((each, n) => { each.value = box.sides[n]; });
    box.rect.setAttribute("aria-label", `${box.name.value}: x ${box.sides[0]}, y ${box.sides[1]}, ${w} by ${h} px`);
    mark(box, "still", box.still.checked);
    this.unjudged.add(box);
    this.judge();
  }

  key(event, box) {
    const step = ARROWS[event.key], [x, y, ...size] = box.sides, far = event.shiftKey ? 10 : 1;
    if (step) this.move(box, [x + far * step[0], y + far * step[1], ...size]);
    else if (event.key === "Delete") this.remove(box);
    else if (event.key === "Enter") box.name.focus();
    else return;
    event.preventDefault();
  }

  // The point of the picture under a pointer, and the pixels of the picture for one of the screen.
  place(event) {
    const { left, top, width, height } = $("overlay").getBoundingClientRect();
    const [wide, high] = this.size;
    return { at: [(event.clientX - left) * wide / width, (event.clientY - top) * high / height], scale: wide / width };
  }

  press(event) {
    if (!this.boxes || event.button) return;
    const { at, scale } = this.place(event);
    const reach = scale * (event.pointerType === "mouse" ? MOUSE_REACH_PX : FINGER_REACH_PX);
    const boxes = [...this.boxes].sort((one, other) => (other === this.chosen) - (one === this.chosen));
    this.grip = boxes.map((box) => gripOf(box, at, reach)).find(Boolean) ?? { fixed: at };
    this.grip.box?.rect.focus({ preventScroll: true });
    $("overlay").setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  drag(event) {
    if (!this.grip) return;
    const { at: [x, y] } = this.place(event), { grip } = this;
    if (grip.from) this.move(grip.box, [x - grip.from[0], y - grip.from[1], ...grip.box.sides.slice(2)]);
    else {
      const [fx, fy] = grip.fixed, [w, h] = [Math.abs(x - fx), Math.abs(y - fy)];
      if (!grip.box && Math.min(w, h) < LEAST_PX) return;
      const sides = [Math.min(x, fx), Math.min(y, fy), w, h];
      if (grip.box) this.move(grip.box, sides);
      else { grip.box = this.add(sides); grip.box.rect.focus({ preventScroll: true }); }
    }
  }

  // Asks for the quality of what has moved, one question after the other.
  async judge() {
    if (this.judging) return;
    this.judging = true;
    while (this.unjudged.size) {
      const [box] = this.unjudged;
      this.unjudged.delete(box);
      const [text, isBad] = await this.send("api/regions/quality", sidesOf(box), false).then(verdict, (error) => [error.message, true]);
      box.verdict.textContent = text;
      mark(box, "bad", isBad);
      await new Promise((done) => setTimeout(done, JUDGE_MS));
    }
    this.judging = false;
  }

  async apply() {
    const regions = this.boxes.map((box) => ({ name: box.name.value.trim(), still: box.still.checked,
      was: box.still.checked === box.wasStill ? box.was : null, ...sidesOf(box) }));
    $("editor-apply").disabled = true;
    try {
      const { text, block } = await this.send("api/regions", { regions, before: this.before });
      this.close(text, block);
    } catch (error) {
      this.say(error.message);
    }
    $("editor-apply").disabled = false;
  }
}

function mark(box, name, isOn) {
  for (const each of [box.rect, box.row]) each.classList.toggle(name, isOn);
}

function sidesOf(box) {
  return Object.fromEntries(Object.keys(SIDES).map((side, n) => [side, box.sides[n]]));
}

function verdict({ noise_floor_x_px, noise_floor_y_px, trouble, remark }) {
  const axes = { x: noise_floor_x_px, y: noise_floor_y_px };
  const seen = Object.entries(axes).map(([axis, floor]) => (
    floor === null ? `nothing seen along ${axis}` : `${number(floor, 2)} px along ${axis}`));
  return [trouble || [`noise ${seen.join(", ")}`, remark].filter(Boolean).join("; "), Boolean(trouble)];
}

// A corner that is held, with the one that stays, or the inside of a region; null where the point is neither.
function gripOf(box, [px, py], reach) {
  const [x, y, width, height] = box.sides;
  const isInside = px >= x && px <= x + width && py >= y && py <= y + height;
  const near = isInside ? Math.min(reach, width / 3, height / 3) : reach;
  const [right, low] = [px > x + width / 2, py > y + height / 2];
  const corner = [x + (right ? width : 0), y + (low ? height : 0)];
  if (Math.hypot(px - corner[0], py - corner[1]) <= near) return { box, fixed: [x + (right ? 0 : width), y + (low ? 0 : height)] };
  return isInside ? { box, from: [px - x, py - y] } : null;
}
