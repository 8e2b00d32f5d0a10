// Lists of what was: journal, alarms and events. The latest are asked for again and again; older pages come as a
// person scrolls to them, as far back as anything is stored.

import { bytes, clock, duration, element, number, show, withUnit } from "./format.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 20, MORE = 100, NEAR_PX = 60;

class List {
  constructor(id, { kind, time, draw, none, ask }) {
    Object.assign(this, { list: $(id), kind, time, draw, none, ask, records: new Map(), before: undefined, busy: false });
    this.list.addEventListener("scroll", () => {
      if (this.list.scrollTop + this.list.clientHeight > this.list.scrollHeight - NEAR_PX) this.older();
    });
  }

  key(record) {
    return `${record[this.time]} ${record.name ?? record.topic + record.text}`;
  }

  take(records) {
    for (const record of records) this.records.set(this.key(record), record);
  }

  // The latest records, which may have changed since, before those that are shown already.
  latest(records, next, trouble) {
    // What does not touch the records known so far leaves a gap between: the list begins anew from here.
    if (!records.some((record) => this.records.has(this.key(record)))) {
      this.records.clear();
      this.before = next;
    }
    this.take(records);
    this.shown = Math.max(this.shown ?? 0, SHOWN);
    this.trouble = trouble;
    this.show();
  }

  async older() {
    if (this.shown < this.records.size) this.shown += MORE;
    else if (this.before && !this.busy) {
      this.busy = true;
      try {
        const query = new URLSearchParams({ kind: this.kind, before: this.before, most: MORE });
        const answer = await this.ask(`api/history?${query}`);
        this.take(answer[this.kind]);
        if (!answer.trouble) this.before = answer.next[this.kind];
        this.shown += MORE;
      } finally {
        this.busy = false;
      }
    }
    this.show();
  }

  show() {
    const sorted = [...this.records.values()].sort((one, other) => other[this.time] - one[this.time]).slice(0, this.shown);
    const isMore = this.before || sorted.length < this.records.size;
    const more = element("button", { type: "button", class: "quiet", onclick: () => this.older() }, "Older");
    show(this.list, [sorted, this.trouble, isMore], () => sorted.length
      ? [...sorted.map((record) => element("li", {}, ...this.draw(record))), ...(isMore ? [element("li", {}, more)] : [])]
      : [element("li", { class: "faint" }, this.trouble || this.none)]);
  }
}

export class HistoryLists {
  constructor(ask) {
    const lists = [
      ["journal", { kind: "notices", time: "time_s", draw: notice, none: "nothing to tell" }],
      ["alarm-history", { kind: "alarms", time: "raised_s", draw: alarm, none: "none" }],
      ["events", { kind: "events", time: "time_s", draw: (each) => this.event(each), none: "none recorded yet" }],
    ];
    this.lists = lists.map(([id, list]) => new List(id, { ...list, ask }));
    $("player-close").addEventListener("click", () => $("player").close());
    $("player").addEventListener("close", () => { $("video").removeAttribute("src"); $("video").load(); });
    $("video").addEventListener("error", () => {
      if (!$("video").getAttribute("src")) return;
      $("player-trouble").textContent = "This browser cannot play the clip (H.264 in MP4): download it instead.";
      $("player-trouble").hidden = false;
    });
  }

  latest(answer) {
    for (const list of this.lists) list.latest(answer[list.kind], answer.next[list.kind], answer.trouble);
  }

  event(event) {
    const clips = event.clips.map((clip) => {
      if (clip.state !== "saved") return element("p", { class: "faint" }, `${clip.kind}: ${clip.state}${clip.detail ? `, ${clip.detail}` : ""}`);
      const length = clip.end_s !== null && clip.start_s !== null ? `${number(clip.end_s - clip.start_s, 2)} s` : "";
      const play = element("button", { type: "button", "data-play": clip.file }, `\u25b6 ${clip.kind}`);
      play.addEventListener("click", () => this.play(event, clip));
      const lost = clip.dropped ? `, ${clip.dropped} frames missing` : "";
      return element("p", {}, play, " ", element("a", { href: `clips/${encodeURIComponent(clip.file)}?download`, download: clip.file },
        `download ${length}, ${bytes(clip.nbytes)}`), lost, clip.detail ? `; ${clip.detail}` : "");
    });
    return [element("strong", {}, clock(event.time_s)), ` ${event.reasons.join("; ")}`, ...clips];
  }

  play(event, clip) {
    const source = `clips/${encodeURIComponent(clip.file)}`;
    $("player-title").textContent = `${clock(event.time_s)}, ${clip.kind}`;
    $("player-trouble").hidden = true;
    $("player-download").href = `${source}?download`;
    $("player-download").setAttribute("download", clip.file);
    $("video").src = source;
    $("player").showModal();
    $("video").play().catch(() => {});
  }
}

function notice({ time_s, topic, text, count, last_s }) {
  const often = count > 1 ? ` (${count} times, last ${clock(last_s ?? time_s, false)})` : "";
  return [element("strong", {}, clock(time_s)), ` ${topic}: ${text}${often}`];
}

function alarm(alarm) {
  return [
    element("strong", {}, alarm.name), ` ${clock(alarm.raised_s)}, ${withUnit(alarm.value, alarm.unit)}; `,
    alarm.cleared_s ? `over after ${duration(alarm.cleared_s - alarm.raised_s)}` : "not over",
    alarm.acknowledged_s ? `, acknowledged by ${alarm.acknowledged_by}` : ", not acknowledged", alarm.detail ? `; ${alarm.detail}` : "",
  ];
}
