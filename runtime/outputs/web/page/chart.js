// One uPlot (uPlot.iife.min.js) in the page's colours: a zoom stays when data arrive, the legend shows the values under
// the cursor, and lines are interrupted where samples are missing.

/* global uPlot */
import { element, tick } from "./format.js";

const FONT_PX = 12, FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const DRAG_PX = 8; // a shorter drag is a click
const MISSING = 1.5; // step, in usual intervals, above which samples are missing
const TOUCHES = { pointerdown: "mousedown", pointermove: "mousemove", pointerup: "mouseup", pointercancel: "mouseup" };
const STEPS = Array.from({ length: 48 }, (_, n) => [1, 2, 5][n % 3] * 10 ** (Math.floor(n / 3) - 9));
const KINDS = {
  line: (colour) => ({ stroke: colour, width: 1.5 }),
  area: (colour) => ({ stroke: colour, width: 1, fill: `${colour}40`, auto: false, points: { show: false } }),
  dots: (colour) => ({ stroke: colour, paths: () => null, points: { show: true, size: 4, width: 0, fill: colour } }),
  edge: () => ({ class: "edge", width: 0, points: { show: false } }),
};

// A range that is kept until the data leave it or fill too little of it.
export function steady(least) {
  let kept = [0, 0];
  return (low, high) => {
    if (low === null) return [-least, least];
    const spare = Math.max(0, least - (high - low)) / 2;
    const fits = low >= kept[0] && high <= kept[1] && high - low + 2 * spare > 0.3 * (kept[1] - kept[0]);
    if (!fits) kept = uPlot.rangeNum(low - spare, high + spare, 0.15, true);
    return kept;
  };
}

export class Chart {
  // how: {x, y, readout, show, range, time}: titles (x as a function), text of a position on x, function that redraws,
  // factory of the function that fits y to the lowest and highest value shown, and true if x are times of day.
  constructor(holder, how) {
    this.holder = holder;
    this.how = how;
    this.zoom = null;
    this.back = element("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.zoomTo(null) }, "Zoom out");
    holder.closest(".card").querySelector("h2").after(this.back);
    const again = () => this.remake();
    window.addEventListener("themed", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    this.sizes = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.sizes.observe(holder);
  }

  // content: {x: [low, high], at, unit, log, series: [{name, colour, kind, y, text}], marks, empty}
  draw(content) {
    this.content = content;
    const { at, unit, log, series, empty } = content;
    const data = [at.length ? at : content.x, ...series.map(({ y }) => (at.length ? y : [null, null]))];
    const key = JSON.stringify([unit, log, series.map(({ name, kind }) => [name, kind])]);
    this.gap = MISSING * usualStep(data[0]);
    if (key === this.key) this.plot.setData(data);
    else {
      this.plot?.destroy();
      this.plot = this.make(data);
      this.key = key;
      this.sizes.observe(this.plot.root.querySelector(".u-legend"));
    }
    this.holder.dataset.empty = empty;
  }

  // Makes the chart anew, with the present colours and range.
  remake() {
    this.key = null;
    if (this.content) this.how.show();
  }

  zoomTo(range) {
    this.zoom = range;
    this.back.hidden = range === null;
    this.how.show();
  }

  size() {
    const legend = this.plot.root.querySelector(".u-legend").offsetHeight;
    return { width: this.holder.clientWidth, height: this.holder.clientHeight - legend };
  }

  make(data) {
    const { x, y, readout, range, time = false } = this.how, { unit, log, series } = this.content;
    const style = getComputedStyle(this.holder), colour = (name) => style.getPropertyValue(name).trim();
    this.colour = colour;
    const font = `${FONT_PX}px ${FONT}`, fit = range(log);
    const axis = {
      stroke: colour("--faint"), font, labelFont: font, labelGap: 0, gap: 4, ticks: { show: false },
      grid: { stroke: colour("--grid"), width: 1 }, border: { show: true, stroke: colour("--line"), width: 1 },
      values: (u, splits, n, space, step) => splits.map((each) => (each === null ? "" : tick(each, log && n ? each : step))),
    };
    const plot = new uPlot({
      width: this.holder.clientWidth, height: this.holder.clientHeight, padding: [6, 14, 0, 0],
      scales: {
        x: { time, range: () => this.zoom ?? this.content.x },
        y: { distr: log ? 3 : 1, range: (u, low, high) => fit(low, high) },
      },
      axes: [
        { ...axis, label: x, size: 22, labelSize: 17, space: 70, ...(time ? { values: clockTicks } : { incrs: STEPS }) },
        {
          ...axis, label: `${y} (${unit})`, size: 48, labelSize: 18, space: 30,
          ...(log ? { grid: { ...axis.grid, filter: decades } } : { incrs: STEPS }),
        },
      ],
      series: [
        { label: "at", value: (u, at) => (at === null ? "" : readout(at)) },
        ...series.map((each, n) => ({
          label: each.name, gaps: (...of) => this.gaps(...of), ...KINDS[each.kind](colour(each.colour)),
          value: (u, value, s, index) => (index === null ? "" : this.content.series[n].text(value, index)),
        })),
      ],
      bands: series.flatMap((each, n) => (each.kind === "dots" ? [{ series: [n + 2, n + 3], fill: `${colour(each.colour)}40` }] : [])),
      cursor: {
        y: false, drag: { dist: DRAG_PX }, points: { size: 8 },
        bind: { dblclick: () => () => this.zoomTo(null) },
      },
      hooks: {
        setSelect: [(u) => this.selected(u)], draw: [(u) => this.mark(u)],
        setSeries: [(u, n, { show }) => { if (series[n - 1].kind === "dots") [n + 1, n + 2].forEach((edge) => u.setSeries(edge, { show }, false)); }],
      },
    }, data, this.holder);
    for (const [kind, as] of Object.entries(TOUCHES)) plot.over.addEventListener(kind, (event) => touch(event, as));
    return plot;
  }

  // Limits a zoom to at least two samples.
  selected(u) {
    const { left, width } = u.select;
    const range = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
    if (u.valToIdx(range[1]) - u.valToIdx(range[0]) > 1) this.zoomTo(range);
  }

  // Gaps in pixels: between samples further apart than usual.
  gaps(u, series, first, last) {
    const [at, y] = [u.data[0], u.data[series]], found = [];
    let before = null;
    for (let n = first; n <= last; n += 1) {
      if (y[n] === null || y[n] === undefined) continue;
      if (before !== null && at[n] - before > this.gap) found.push([u.valToPos(before, "x", true), u.valToPos(at[n], "x", true)]);
      before = at[n];
    }
    return found;
  }

  // Labelled points, such as peaks, and lines where no y is given; a label that would cover an earlier one is left out.
  mark({ ctx, bbox, valToPos }) {
    const px = uPlot.pxRatio, right = bbox.left + bbox.width, labels = [];
    ctx.save();
    Object.assign(ctx, { font: `${FONT_PX * px}px ${FONT}`, textAlign: "center", textBaseline: "bottom" });
    for (const { x, y, text, colour } of this.content.marks ?? []) {
      const line = y === undefined, at = valToPos(x, "x", true), top = line ? bbox.top : Math.max(valToPos(y, "y", true), bbox.top);
      if (at < bbox.left || at > right) continue;
      ctx.fillStyle = this.colour(colour);
      ctx.beginPath();
      if (line) ctx.rect(at - px / 2, top, px, bbox.height);
      else ctx.arc(at, top, 3.5 * px, 0, 7);
      ctx.fill();
      if (!text) continue;
      const half = ctx.measureText(text).width / 2 + 2 * px;
      const middle = Math.min(Math.max(at, bbox.left + half), right - half);
      const bottom = Math.max(top - 6 * px, bbox.top + 14 * px);
      if (labels.some((each) => Math.abs(each.middle - middle) < each.half + half && Math.abs(each.bottom - bottom) < 14 * px)) continue;
      labels.push({ middle, half, bottom });
      ctx.fillStyle = this.colour("--text");
      ctx.fillText(text, middle, bottom);
    }
    ctx.restore();
  }
}

function usualStep(at) {
  const steps = Float64Array.from(at.slice(1), (each, n) => each - at[n]).sort();
  return steps[steps.length >> 1] ?? 0;
}

// Grid lines at powers of ten, if there are any in the range.
function decades(u, splits) {
  const found = splits.map((each) => (each.toExponential().startsWith("1e") ? each : null));
  return found.filter((each) => each !== null).length > 1 ? found : splits;
}

function clockTicks(u, splits, n, space, step) {
  const format = new Intl.DateTimeFormat("en-GB", step >= 86400 ? { day: "numeric", month: "short" } : {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 ? { second: "2-digit" } : {}),
  });
  return splits.map((each) => format.format(each * 1000));
}

// Touch events, as uPlot handles the mouse alone.
function touch(event, as) {
  if (event.pointerType !== "touch") return;
  const { clientX, clientY } = event;
  event.target.dispatchEvent(new MouseEvent(as, { clientX, clientY, movementX: 1, bubbles: true }));
}
