// Polls the device, one request after the other, and passes the answers to the panels. While the page is hidden it
// only polls the state, at long intervals, to spare the device.

import { choice, clock } from "./format.js";
import { Charts } from "./charts.js";
import { HistoryLists } from "./history.js";
import { Overview } from "./overview.js";
import { Panels } from "./panels.js";
import { LivePicture } from "./picture.js";
import { Regions } from "./regions.js";

const LIVE_MS = 250, STATE_MS = 1000, HISTORY_MS = 5000, FREQUENCIES_MS = 15000, OVERVIEW_MS = 60000, HIDDEN_MS = 15000;
const TIMEOUT_MS = 10000, LONGEST_PAUSE_MS = 10000;
const FREEZE_MS = 3000;

const $ = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.region = localStorage.getItem("tremorscope region") ?? "";
    this.charts = new Charts();
    this.panels = new Panels({
      choose: (region) => this.choose(region),
      send: (path, body) => this.send(path, body),
      refresh: () => this.wake("history"),
    });
    this.overview = new Overview((path) => this.ask(path), () => this.charts.shownUnit());
    this.moving = new Moving($("moving"));
    this.regions = new Regions((path, body, isChange) => this.send(path, body, isChange));
    this.history = new HistoryLists((path) => this.ask(path));
    this.wakers = {};
    this.paused = false;
    this.picture = new LivePicture($("live"), {
      shown: () => this.curtain(""),
      troubled: (text) => this.curtain(text),
    });
    this.view = choice($("views"), "view", () => this.look());
    $("pause").addEventListener("click", () => this.pause());
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.watchPicture(), 500);
    this.look();
    this.loop("state", STATE_MS, () => this.askState(), true);
    this.loop("live", LIVE_MS, () => this.askLive());
    this.loop("history", HISTORY_MS, async () => this.history.latest(await this.ask("api/history")));
    this.loop("frequencies", FREQUENCIES_MS, async () => this.charts.frequencies(await this.ask("api/frequencies")));
    this.loop("modes", FREQUENCIES_MS, () => this.askModes());
    this.loop("overview", OVERVIEW_MS, () => this.overview.refresh());
  }

  // Polls with pauses that grow while the device does not answer.
  async loop(name, everyMs, ask, evenHidden = false) {
    for (let failures = 0; ; ) {
      let pause = everyMs;
      if (document.hidden && !evenHidden) pause = HIDDEN_MS;
      else {
        try {
          await ask();
          failures = 0;
          if (document.hidden) pause = HIDDEN_MS;
        } catch (error) {
          failures += 1;
          pause = Math.min(1000 * 2 ** (failures - 1), LONGEST_PAUSE_MS);
          if (name === "state") this.panels.lost(error.message);
        }
      }
      await new Promise((done) => {
        const timer = setTimeout(done, pause);
        this.wakers[name] = () => { clearTimeout(timer); done(); };
      });
    }
  }

  wake(...names) {
    for (const name of names) this.wakers[name]?.();
  }

  async ask(path, options = {}) {
    let refusal = "";
    try {
      const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
      if (response.status === 401) location.assign("login");
      if (response.ok) return await response.json();
      refusal = (await response.text()).trim() || `answer ${response.status}`;
    } catch (error) { // whose own words each browser chooses
      refusal = `no answer from the device${error.name === "TimeoutError" ? ` within ${TIMEOUT_MS / 1000} s` : ""}`;
    }
    throw new Error(refusal);
  }

  async send(path, body, isChange = true) {
    const headers = { "Content-Type": "application/json" };
    const answer = await this.ask(path, { method: "POST", body: JSON.stringify(body), headers });
    if (isChange) this.wake("state", "history");
    return answer;
  }

  async askState() {
    const state = await this.ask("api/state");
    this.panels.state(state, this.region, this.picture.rate());
    this.regions.state(state, this.region);
    this.charts.state(state, this.region);
    this.overview.state(this.region);
  }

  async askLive() {
    const after = this.charts.motionAfter(), spectrumAfter = this.charts.spectrumAfter();
    const asked = this.region;
    const query = new URLSearchParams({ region: asked, after, spectrum_after: spectrumAfter });
    const { motion, spectra } = await this.ask(`api/live?${query}`);
    if (asked !== this.region) return; // another region was chosen meanwhile
    if (motion.region !== null && motion.region !== asked) {
      this.region = motion.region;
      this.wake("state");
    }
    this.charts.motion(motion);
    this.charts.spectrum(spectra);
  }

  // The latest modes move a photograph, which is taken as often as there are new ones.
  async askModes() {
    const { time_s, moving } = await this.ask("api/modes");
    if (!moving || time_s === this.modesOf) return;
    const photo = Object.assign(new Image(), { src: `live.jpg?view=filmed&of=${time_s}` });
    await photo.decode();
    this.moving.show(photo, moving);
    $("moving-of").textContent = `found ${clock(time_s)}`;
    this.modesOf = time_s;
  }

  choose(region) {
    this.region = region;
    localStorage.setItem("tremorscope region", region);
    this.charts.forget();
    this.wake("state", "live");
  }

  // Starts the stream of the chosen view, or stops it while the page is hidden.
  look() {
    if (document.hidden || this.paused) this.picture.stop();
    else {
      this.picture.start(this.view());
      this.wake("state", "live", "history", "frequencies", "modes", "overview");
    }
  }

  pause() {
    this.paused = !this.paused;
    $("pause").textContent = this.paused ? "Go on" : "Pause";
    this.look();
  }

  watchPicture() {
    const rate = this.picture.rate();
    $("pace").textContent = rate ? `${rate.toFixed(0)} pictures/s shown` : "";
    if (!this.paused && !document.hidden && this.picture.count && this.picture.sinceLastMs() > FREEZE_MS) {
      this.curtain("no new picture");
    }
  }

  curtain(text) {
    if ($("curtain").textContent === text) return;
    $("curtain").textContent = text;
    $("curtain").hidden = !text;
  }
}

function themes() {
  const stored = localStorage.getItem("tremorscope theme");
  if (stored) document.documentElement.dataset.theme = stored;
  $("theme").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("tremorscope theme", dark ? "light" : "dark");
    window.dispatchEvent(new Event("themed"));
  });
}

themes();
window.page = new Page();
