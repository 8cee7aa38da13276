// Timeline of a recording as a drawing, and the slider on it.

import { SECOND, elapsed, lastAt } from "./time.js";

const SVG = "http://www.w3.org/2000/svg";
const GUTTER = 76; // of the lanes' names, where there is room for them
const NARROW = 560;
const ZOOM_MOST = SECOND; // the shortest stretch that is drawn over the whole width

const RULER = { y: 0, height: 18 };
const LANES = [
  { name: "video", y: 20, height: 26 },
  { name: "audio", y: 48, height: 16 },
  { name: "events", y: 66, height: 18 },
  { name: "faults", y: 86, height: 10 },
  { name: "power", y: 98, height: 14 },
  { name: "problems", y: 114, height: 14 },
];
const HEIGHT = 130;
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Stretches with nothing to see, those that follow each other as one: [from, to, why]. */
export function holes(line) {
  const found = [];
  for (const [begin, end, , why] of line.spans) {
    const last = found.at(-1);
    if (!why) continue;
    if (last && last[1] === begin && kind(last[2]) === kind(why)) last[1] = end;
    else found.push([begin, end, why]);
  }
  return found;
}

/** To a person a camera that was away is one gap, whether its microphone was heard or not. */
function kind(why) {
  return why === "no_video" || why === "nothing" ? "gap" : why;
}

/** Gaps of video inside what there is: frames are missing there, and others are not. */
export function thinned(line) {
  const all = holes(line);
  return line.gaps.filter((gap) => gap.track !== "audio" && !all.some(([from, to]) => from < gap.to_us && gap.from_us < to));
}

/** Events: `seek` (detail: the moment). */
export class Strip extends EventTarget {
  /** place: where it is drawn. slider: the element that takes the keyboard and the pointer. texts: words by name. */
  constructor(place, slider, line, texts) {
    super();
    this.place = place;
    this.slider = slider;
    this.line = line;
    this.texts = texts;
    this.problems = [];
    this.clip = [null, null];
    this.us = 0;
    this.from = 0;
    this.to = Math.max(line.length_us, 1);
    this.svg = element("svg", { class: "strip", role: "img", "aria-label": texts("timeline_label") });
    place.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(place);
    this._listen();
  }

  // --- what is shown ---------------------------------------------------------------------------------------------------

  get width() {
    return Math.max(this.place.clientWidth, 120);
  }

  get gutter() {
    return this.width < NARROW ? 0 : GUTTER;
  }

  x(us) {
    const room = this.width - this.gutter - 1;
    return this.gutter + ((us - this.from) / (this.to - this.from)) * room;
  }

  moment(x) {
    const room = this.width - this.gutter - 1;
    const us = this.from + ((x - this.gutter) / room) * (this.to - this.from);
    return Math.min(Math.max(us, 0), this.line.length_us);
  }

  /** Show a part of the axis, `factor` times as long as now, around the playhead. */
  zoom(factor) {
    const all = this.line.length_us;
    const length = Math.min(Math.max((this.to - this.from) * factor, ZOOM_MOST), all);
    const share = (this.us - this.from) / (this.to - this.from);
    const inside = share >= 0 && share <= 1 ? share : 0.5;
    this.from = Math.min(Math.max(this.us - inside * length, 0), all - length);
    this.to = this.from + length;
    this.draw();
  }

  all() {
    this.from = 0;
    this.to = Math.max(this.line.length_us, 1);
    this.draw();
  }

  /** The playhead. Where it leaves what is drawn, that follows it. */
  at(us, text) {
    this.us = us;
    const length = this.to - this.from;
    if (us < this.from || us > this.to) {
      this.from = Math.min(Math.max(us - length / 10, 0), this.line.length_us - length);
      this.to = this.from + length;
      this.draw();
    }
    this._head();
    this.slider.setAttribute("aria-valuenow", Math.round(us / 1000) / 1000);
    this.slider.setAttribute("aria-valuetext", text);
  }

  // --- drawing ---------------------------------------------------------------------------------------------------------

  draw() {
    const { svg, line } = this;
    svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    svg.replaceChildren(this._patterns());
    this._ruler();
    for (const lane of LANES) {
      this._box(lane, this.from, this.to, "lane");
      if (this.gutter) svg.append(element("text", { class: "lane-name", x: 0, y: lane.y + lane.height / 2 + 4 }, this.texts(`lane_${lane.name}`)));
    }
    const [video, audio, events, faults, power, problems] = LANES;
    const press = line.press_us ?? 0;
    this._box(video, 0, Math.min(press, line.length_us), "before");
    this._box(video, Math.max(press, 0), line.length_us, "recorded");
    if (line.epochs.some((one) => one.audio)) this._box(audio, 0, line.length_us, "sound");
    for (const [from, to, why] of holes(line)) {
      this._box(video, from, to, kind(why) === "gap" ? "gap" : "lost", this._why(from, to, why));
      if (!["no_video", "nothing"].includes(why)) this._box(audio, from, to, "lost", this._why(from, to, why));
    }
    for (const gap of thinned(line)) {
      const half = { y: video.y + video.height / 2, height: video.height / 2 };
      this._box(half, gap.from_us, gap.to_us, "gap", `${this.texts("frames_left_out")}: ${gap.cause}`);
    }
    for (const gap of line.gaps.filter((one) => one.track !== "video")) {
      this._box(audio, gap.from_us, gap.to_us, "gap", `${this.texts("no_audio")}: ${gap.cause}`);
    }
    for (const mute of line.mutes) {
      this._box(audio, mute.from_us, mute.to_us, "mute", `${this.texts("muted")}: ${mute.name}`);
    }
    for (const fault of line.faults) {
      this._box(faults, fault.from_us, fault.to_us ?? line.length_us, "fault", [fault.name, fault.detail].filter(Boolean).join(": "));
    }
    this._battery(power);
    for (const epoch of line.epochs.slice(1)) this._upright(epoch.at_us, "epoch", `${epoch.reason} ${epoch.video}`);
    for (const mark of line.marks) {
      this._sign(events, mark.at_us, "M -5 3 L 5 3 L 0 14 Z", "mark", mark.text || this.texts("marker"));
    }
    for (const step of line.steps) this._sign(events, step.at_us, "M 0 2 L 5 9 L 0 16 L -5 9 Z", "step", this.texts("clock_step"));
    for (const problem of this.problems.filter((one) => one.from_us !== null)) {
      this._box(problems, problem.from_us, problem.to_us, problem.grave ? "problem" : "warning", `${problem.where}: ${problem.what}`, 3);
    }
    if (line.press_us !== null) {
      this._upright(press, "press", this.texts("press"));
      const near = this.x(press) > this.width - 60;
      if (press >= this.from && press <= this.to) {
        svg.append(element("text", { class: "press-name", x: this.x(press) + (near ? -4 : 4), y: 12, "text-anchor": near ? "end" : "start" }, this.texts("press")));
      }
    }
    const [begin, end] = this.clip;
    if (begin !== null || end !== null) {
      this._box({ y: RULER.height, height: HEIGHT - RULER.height }, begin ?? 0, end ?? line.length_us, "clip");
    }
    this.head = element("g", { class: "head" });
    this.head.append(element("path", { d: "M -5 0 L 5 0 L 0 8 Z" }), element("line", { y1: 0, y2: HEIGHT }));
    svg.append(this.head);
    this._head();
  }

  _why(from, to, why) {
    return `${this.texts(`why_${why}`)} ${elapsed(from)} – ${elapsed(to)}`;
  }

  _patterns() {
    const made = element("defs", {});
    for (const [name, path] of [["hatch", "M0 6 L6 0"], ["cross", "M0 6 L6 0 M0 0 L6 6"], ["dots", "M2.4 3 h1.2"]]) {
      const pattern = element("pattern", { id: `strip-${name}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
      pattern.append(element("rect", { width: 6, height: 6, class: `${name}-ground` }), element("path", { d: path, class: `${name}-line` }));
      made.append(pattern);
    }
    return made;
  }

  _ruler() {
    const room = this.width - this.gutter;
    const wanted = ((this.to - this.from) / SECOND / room) * 84; // seconds from one name to the next
    const step = (STEPS_S.find((one) => one >= wanted) ?? STEPS_S.at(-1)) * SECOND;
    const digits = step < SECOND ? 1 : 0;
    for (let us = Math.ceil(this.from / step) * step; us <= this.to; us += step) {
      const x = this.x(us);
      this.svg.append(element("line", { class: "tick", x1: x, x2: x, y1: RULER.height - 5, y2: HEIGHT }));
      if (x > this.width - 40 || Math.abs(x - this.x(this.line.press_us ?? -1e15)) < 70) continue;
      this.svg.append(element("text", { class: "tick-name", x: x + 3, y: 12 }, elapsed(us, digits)));
    }
  }

  _battery(lane) {
    const known = this.line.power.filter((one) => one.percent !== null);
    if (!known.length) return;
    const y = (percent) => lane.y + lane.height - (Math.min(Math.max(percent, 0), 100) / 100) * (lane.height - 2) - 1;
    const left = this.x(this.from);
    let path = "";
    for (const [index, one] of known.entries()) {
      const x = Math.max(this.x(one.at_us), left);
      path += index ? `H ${x} V ${y(one.percent)} ` : `M ${left} ${y(one.percent)} H ${x} `;
    }
    path += `H ${this.x(Math.min(this.line.length_us, this.to))}`;
    const drawn = element("path", { class: "battery", d: path });
    drawn.append(element("title", {}, known.map((one) => `${elapsed(one.at_us, 0)} ${one.percent} %`).slice(0, 20).join(", ")));
    this.svg.append(drawn);
  }

  _box(lane, from_us, to_us, style, title, least = 1) {
    const left = Math.max(this.x(Math.min(from_us, to_us)), this.gutter);
    const right = Math.min(this.x(Math.max(from_us, to_us)), this.width);
    if (right < this.gutter || left > this.width || to_us < from_us) return;
    const drawn = element("rect", { class: style, x: left, y: lane.y, width: Math.max(right - left, least), height: lane.height });
    if (title) drawn.append(element("title", {}, title));
    this.svg.append(drawn);
  }

  _upright(us, style, title) {
    const x = this.x(us);
    if (x < this.gutter || x > this.width) return;
    const drawn = element("line", { class: style, x1: x, x2: x, y1: 0, y2: HEIGHT });
    drawn.append(element("title", {}, title));
    this.svg.append(drawn);
  }

  _sign(lane, us, path, style, title) {
    const x = this.x(us);
    if (x < this.gutter - 1 || x > this.width + 1) return;
    const drawn = element("path", { class: style, d: path, transform: `translate(${x} ${lane.y})` });
    drawn.append(element("title", {}, title));
    this.svg.append(drawn);
  }

  _head() {
    this.head?.setAttribute("transform", `translate(${Math.min(Math.max(this.x(this.us), this.gutter), this.width - 1)} 0)`);
  }

  // --- the pointer and the wheel -----------------------------------------------------------------------------------------

  _listen() {
    const { slider } = this;
    const seek = (event) => {
      const us = this.moment(event.clientX - this.place.getBoundingClientRect().left);
      this.dispatchEvent(new CustomEvent("seek", { detail: us }));
    };
    slider.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      slider.setPointerCapture(event.pointerId);
      seek(event);
    });
    slider.addEventListener("pointermove", (event) => {
      if (slider.hasPointerCapture(event.pointerId)) seek(event);
    });
    slider.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // else the page scrolls
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8);
    }, { passive: false });
  }
}

/** The moments that a person jumps between: the press, markers, gaps, problems. Ascending, each once. */
export function landmarks(line, problems = []) {
  const found = new Set([0]);
  if (line.press_us !== null && line.press_us > 0) found.add(line.press_us);
  for (const mark of line.marks) found.add(mark.at_us);
  for (const [from] of holes(line)) found.add(from);
  for (const problem of problems) if (problem.from_us !== null) found.add(problem.from_us);
  return [...found].filter((us) => us >= 0 && us <= line.length_us).sort((a, b) => a - b);
}

/** The landmark before (or behind) a moment; null where there is none. */
export function beside(marks, us, forwards, slack = 30_000) {
  if (forwards) return marks.find((one) => one > us + slack) ?? null;
  const index = lastAt(marks, us - slack);
  return index < 0 ? null : marks[index];
}
