// The report's charts, which zoom and show values under the cursor, and its photograph that moves. Without this script,
// and on paper, pictures stand in their place.

/* global uPlot, Moving, digits, element */
"use strict";

const HEIGHT_PX = { spectrum: 340, displacement: 190 };
const TOUCHES = { pointerdown: "mousedown", pointermove: "mousemove", pointerup: "mouseup", pointercancel: "mouseup" };
const data = JSON.parse(document.getElementById("data").textContent);
const made = [];

const numbers = (text) => Array.from(new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer), (v) => (Number.isNaN(v) ? null : v));

function chart(holder, kind, { x, y, at: places, series, log, down, marks = [] }) {
  let pinned = null;
  const away = (at) => (kind === "spectrum" ? `${digits(at)} Hz` : `${digits(at)} s, ${digits(1 / at)} Hz`);
  const readout = (u, at) => (at === null ? "" : digits(at) + (pinned === null || at === pinned ? "" : `  (${away(Math.abs(at - pinned))} from the mark)`));
  const plot = new uPlot({
    width: holder.clientWidth, height: HEIGHT_PX[kind], padding: [18, 14, 0, 0],
    scales: { x: { time: false }, y: { distr: log ? 3 : 1, dir: down ? -1 : 1 } },
    axes: [
      { label: x, size: 34, labelSize: 22 },
      { label: y, size: 66, labelSize: 22, values: (u, splits) => splits.map((each) => (each === null ? "" : digits(each))) },
    ],
    series: [
      { label: kind === "spectrum" ? "Hz" : "s", value: readout },
      ...series.map(({ name, colour, dash }) => ({
        label: name, stroke: colour, width: 1.2, ...(dash ? { class: "aside", dash: [3, 4] } : {}), points: { show: false }, value: (u, v) => digits(v),
      })),
    ],
    cursor: { y: false, drag: { x: true, y: false, dist: 8 }, sync: { key: kind } },
    hooks: { draw: [(u) => lines(u, marks, pinned)], ready: [(u) => pin(u, (at) => { pinned = at; })] },
  }, [numbers(places), ...series.map((each) => numbers(each.values))], holder);
  for (const [touched, as] of Object.entries(TOUCHES)) plot.over.addEventListener(touched, (event) => touch(event, as));
  made.push({ plot, holder, kind });
}

// A click sets a mark to measure from; a second one at the same place, or Escape, takes it away.
function pin(u, set) {
  let from = null;
  u.over.addEventListener("mousedown", ({ clientX }) => { from = clientX; });
  u.over.addEventListener("click", ({ clientX }) => {
    if (Math.abs(clientX - from) > 3 || u.cursor.idx === null) return;
    const at = u.data[0][u.cursor.idx];
    set(u.marked === at ? null : at);
    u.marked = u.marked === at ? null : at;
    u.redraw(false);
  });
  document.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    set(null);
    u.marked = null;
    u.redraw(false);
  });
}

function lines(u, marks, pinned) {
  const { ctx, bbox } = u, ratio = uPlot.pxRatio;
  ctx.save();
  ctx.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  let last = -Infinity;
  for (const [at, text, colour] of [...marks.map((each) => [...each, "#333333"]), ...(pinned === null ? [] : [[pinned, "", "#b34700"]])]) {
    const x = u.valToPos(at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.setLineDash(text ? [4 * ratio, 4 * ratio] : []);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    if (x - last < 58 * ratio) continue;
    ctx.fillText(text, x - (x > bbox.left + 0.9 * bbox.width ? 50 * ratio : 0), bbox.top - 5 * ratio);
    last = x;
  }
  ctx.restore();
}

// Touch, as uPlot handles the mouse alone.
function touch(event, as) {
  if (event.pointerType !== "touch") return;
  const { clientX, clientY } = event;
  event.target.dispatchEvent(new MouseEvent(as, { clientX, clientY, movementX: 1, bubbles: true }));
}

function charts(kind, list) {
  const section = document.getElementById(kind);
  if (!section || !list.length) return;
  section.classList.add("live");
  const holder = element("div", { className: "chart" });
  section.append(holder, element("p", { className: "small noprint" },
    "Drag to zoom, double-click to see all, click to set a mark to measure from (Escape removes it), click a name to hide its curve. ",
    element("button", { type: "button", onclick: () => made.filter((each) => each.kind === kind).forEach(({ plot }) => plot.setData(plot.data)) }, "See all")));
  for (const each of list) chart(holder.appendChild(element("div")), kind, each);
}

for (const [kind, list] of Object.entries(data.charts)) charts(kind, list);
addEventListener("resize", () => made.forEach(({ plot, holder, kind }) => plot.setSize({ width: holder.clientWidth, height: HEIGHT_PX[kind] })));
if (data.moving) {
  const section = document.getElementById("moving"), photo = section.querySelector("img");
  photo.decode().then(() => new Moving(section).show(photo, data.moving));
}
