// Recordings of several cameras beside each other, on one clock: UTC, by each camera's own stamps.
//
// No camera's clock is exact: each pane says how far its own may be off, and a person may shift it against the others.

import { Keyboard } from "./keyboard.js";
import { Player } from "./player.js";
import { holes } from "./strip.js";
import { SteadyClock, elapsed, uncertainty, utc } from "./time.js";
import { asked, made, words } from "./words.js";

const t = words("player");
const told = words("several");
const at = (id) => document.getElementById(id);

const APART_MS = 40; // a pane that is farther from the clock than a frame is brought back
const JUMP_MS = 400; // by its speed; from here on by a jump
const SPEEDS = 0.1;

class Pane {
  constructor(place, line) {
    this.place = place;
    this.line = line;
    this.clock = new SteadyClock(line.clock);
    this.shift_ms = 0;
    this.player = new Player(place.querySelector("video"), place.dataset.base, line);
    this.video = this.player.video;
    const input = place.querySelector(".shift");
    input.addEventListener("change", () => {
      const shift = Number(input.value.trim().replace(",", "."));
      this.shift_ms = Number.isFinite(shift) ? shift * 1000 : 0;
      this.place.dispatchEvent(new Event("shifted", { bubbles: true }));
    });
    place.querySelector(".sound").addEventListener("change", () => this.place.dispatchEvent(new Event("sound", { bubbles: true })));
  }

  get known() {
    return this.begin_ms !== null;
  }

  /** UTC of its first frame and of its end; null where no stamp is a time. */
  get begin_ms() {
    const { ms } = this.clock.at(0);
    return ms === null ? null : ms + this.shift_ms;
  }

  get end_ms() {
    const { ms } = this.clock.at(this.line.length_us);
    return ms === null ? null : ms + this.shift_ms;
  }

  moment(ms) {
    return this.clock.find(ms - this.shift_ms);
  }

  inside(us) {
    return us !== null && us >= 0 && us < this.line.length_us;
  }

  /** Be where the clock is. `playing`: it goes on. */
  follow(ms, playing, sought) {
    const us = this.known ? this.moment(ms) : null;
    const inside = this.inside(us);
    const { video } = this;
    if (!inside) {
      if (!video.paused) video.pause();
    } else if (!playing || sought) {
      if (!video.paused && !playing) video.pause();
      if (Math.abs(this.player.us - us) > 1000) this.player.seek(us);
    } else {
      const apart_ms = (this.player.us - us) / 1000;
      if (Math.abs(apart_ms) > JUMP_MS && !video.seeking) this.player.seek(us);
      else video.playbackRate = Math.abs(apart_ms) > APART_MS ? 1 - Math.sign(apart_ms) * SPEEDS : 1;
    }
    if (inside && playing && video.paused && !video.seeking) video.play().catch(() => {});
    this.show(us, inside);
  }

  show(us, inside) {
    const why = inside ? this.player.covered(us) : "outside";
    const card = this.place.querySelector(".card");
    card.hidden = !why;
    this.place.querySelector(".stage").dataset.covered = why;
    if (why) {
      const gap = this.line.gaps.find((one) => one.track !== "audio" && one.from_us <= us && us < one.to_us);
      card.querySelector(".card-title").textContent = inside ? t(`why_${why}`) : told(this.known ? "outside" : "unknown_clock");
      card.querySelector(".card-text").textContent = inside ? (gap?.cause ?? "") : "";
    }
    this.place.querySelector(".moment-now").textContent = inside ? `${elapsed(us)} / ${elapsed(this.line.length_us)}` : "–";
    const wall = this.clock.at(inside ? us : 0);
    const says = { synchronised: told("exact"), free: told("free_clock"), not_set: told("unknown_clock") }[wall.quality] ?? "";
    const quality = this.place.querySelector(".quality");
    const stepped = this.line.steps.length ? told("stepped") : "";
    quality.textContent = [says, stepped, wall.quality === "synchronised" ? uncertainty(wall.uncertainty_us) : ""].filter(Boolean).join(" · ");
    quality.dataset.quality = wall.quality;
  }
}

class Several {
  constructor(panes) {
    this.panes = panes;
    this.playing = false;
    this.ms = 0;
    this.span();
    const overlap = Math.max(...this.timed.map((one) => one.begin_ms));
    const wanted = Date.parse(new URLSearchParams(location.search).get("at") ?? "");
    this.ms = Number.isFinite(wanted) ? wanted : Number.isFinite(overlap) && overlap < this.to ? overlap : this.from;
    for (const pane of panes) pane.player.open(Math.min(Math.max(pane.moment(this.ms) ?? 0, 0), pane.line.length_us));
    this.listen();
    this.draw();
    this.apply(true);
    let last = performance.now();
    const frame = (now) => {
      if (this.playing) {
        // The clock waits for a pane that has nothing to show yet: all of them show the same moment.
        if (!this.waits()) this.ms += now - last;
        if (this.ms >= this.to) this.playing = false;
        this.apply(false);
      }
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  get timed() {
    return this.panes.filter((one) => one.known);
  }

  waits() {
    return this.timed.some((pane) => pane.inside(pane.moment(this.ms)) && !pane.line.sealed && !pane.player.broken && (pane.video.seeking || pane.video.readyState < 3));
  }

  span() {
    this.from = Math.min(...this.timed.map((one) => one.begin_ms));
    this.to = Math.max(...this.timed.map((one) => one.end_ms));
    if (!Number.isFinite(this.from)) [this.from, this.to] = [0, 1];
    at("slider").setAttribute("aria-valuemax", (this.to - this.from) / 1000);
  }

  seek(ms) {
    this.ms = Math.min(Math.max(ms, this.from), this.to);
    this.apply(true);
  }

  apply(sought) {
    for (const pane of this.panes) pane.follow(this.ms, this.playing, sought);
    const day = utc(this.ms);
    at("utc-date").textContent = day?.date ?? "";
    at("utc-time").textContent = day?.time ?? "–";
    at("toggle").dataset.playing = this.playing;
    at("toggle").setAttribute("aria-label", t(this.playing ? "pause" : "play"));
    at("slider").setAttribute("aria-valuenow", (this.ms - this.from) / 1000);
    at("slider").setAttribute("aria-valuetext", day ? `${day.time} UTC` : "–");
    if (this.head) this.head.style.left = `${((this.ms - this.from) / (this.to - this.from)) * 100}%`;
  }

  /** One bar a camera, where it recorded; the stretches without a picture are cut out of it. */
  draw() {
    const share = (ms) => `${((ms - this.from) / (this.to - this.from)) * 100}%`;
    const rows = this.panes.map((pane) => {
      const row = made("div", "", { class: "row" });
      if (!pane.known) return row;
      const bar = (begin, end, style, title) => {
        const drawn = made("i", "", { class: style, title });
        drawn.style.left = share(begin);
        drawn.style.width = `calc(${share(end)} - ${share(begin)})`;
        row.append(drawn);
      };
      bar(pane.begin_ms, pane.end_ms, "recorded", pane.line.id);
      if (pane.line.press_us > 0) bar(pane.begin_ms, pane.begin_ms + pane.line.press_us / 1000, "before", t("before_press"));
      for (const [from, to, why] of holes(pane.line)) {
        bar(pane.clock.at(from).ms + pane.shift_ms, pane.clock.at(from).ms + (to - from) / 1000 + pane.shift_ms, "gap", t(`why_${why}`));
      }
      row.append(made("span", pane.line.device));
      return row;
    });
    this.head = made("div", "", { class: "head" });
    at("together").replaceChildren(...rows, this.head);
  }

  step(count) {
    this.playing = false;
    const frame = Math.min(...this.panes.map((one) => one.line.frame_us));
    this.seek(this.ms + (count * frame) / 1000);
  }

  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.ms >= this.to) this.ms = this.from;
    this.apply(true);
  }

  listen() {
    const acts = {
      toggle: () => this.toggle(),
      frame: () => this.step(1),
      "frame-back": () => this.step(-1),
      second: () => this.seek(this.ms + 1000),
      "second-back": () => this.seek(this.ms - 1000),
      first: () => this.seek(this.from),
      last: () => this.seek(this.to),
    };
    for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => acts[button.dataset.do]());
    new Keyboard(acts, at("keys-on"));
    const slider = at("slider");
    const sought = (event) => {
      const box = slider.getBoundingClientRect();
      this.seek(this.from + ((event.clientX - box.left) / box.width) * (this.to - this.from));
    };
    slider.addEventListener("pointerdown", (event) => {
      slider.setPointerCapture(event.pointerId);
      sought(event);
    });
    slider.addEventListener("pointermove", (event) => slider.hasPointerCapture(event.pointerId) && sought(event));
    document.addEventListener("shifted", () => {
      this.span();
      this.draw();
      this.seek(this.ms);
    });
    document.addEventListener("sound", () => {
      for (const pane of this.panes) pane.video.muted = !pane.place.querySelector(".sound").checked;
    });
    for (const pane of this.panes) pane.player.addEventListener("time", () => !this.playing && pane.show(pane.known ? pane.moment(this.ms) : null, pane.known && pane.inside(pane.moment(this.ms))));
  }
}

const places = [...document.querySelectorAll(".pane")];
const lines = await Promise.allSettled(places.map((place) => asked(`${place.dataset.base}/timeline.json`)));
const panes = [];
for (const [index, place] of places.entries()) {
  if (lines[index].status === "fulfilled") {
    panes.push(new Pane(place, lines[index].value));
    continue;
  }
  // The others are shown without it.
  place.querySelector(".stage").dataset.covered = "unreadable";
  place.querySelector(".card").hidden = false;
  place.querySelector(".card-title").textContent = words("recording")("not_readable");
  for (const control of place.querySelectorAll("footer input")) control.disabled = true;
}
if (panes.length) window.desk = new Several(panes);
at("several").dataset.ready = String(panes.length > 0);
