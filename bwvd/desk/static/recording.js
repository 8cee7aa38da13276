// Page of one recording.

import { HandOut } from "./handout.js";
import { Keyboard } from "./keyboard.js";
import { Player } from "./player.js";
import { Strip, beside, holes, landmarks, thinned } from "./strip.js";
import { SECOND, WallClock, elapsed, lastAt, uncertainty, utc } from "./time.js";
import { TrackDrawing } from "./track.js";
import { asked, made, words } from "./words.js";

const place = document.getElementById("recording");
const base = place.dataset.base;
const t = words("player");
const told = words("recording");
const ofChain = words("chain");
const ofVerdict = words("verdict");
const at = (id) => document.getElementById(id);

const POLL_MS = [200, 300, 500, 1000]; // until the verification is through

/** What is the case at a moment, of things that last. */
const during = (things, us) => things.filter((one) => one.from_us <= us && (one.to_us === null || us < one.to_us));

/** A line of text that says why there is nothing to see, and the cause that a record gives for it. */
export function reason(line, us, why, words_ = t) {
  const gap = line.gaps.find((one) => one.track !== "audio" && one.from_us <= us && us < one.to_us);
  const all = holes(line).find(([from, to]) => from <= us && us < to);
  const span = all ? `${elapsed(all[0])} – ${elapsed(all[1])}` : "";
  return { title: words_(`why_${why}`), text: [gap?.cause, span].filter(Boolean).join(" · ") };
}

/** Everything that happened, in order: [moment, kind, text, until]. */
function happenings(line) {
  const found = [];
  if (line.press_us !== null) found.push([line.press_us, "press", `${t("press")} (${line.press_source})`]);
  for (const mark of line.marks) found.push([mark.at_us, "mark", mark.text || mark.unknown || t("marker")]);
  for (const one of line.officers) found.push([one.at_us, "officer", `${told("officer")}: ${one.text || one.unknown || "–"}`]);
  for (const gap of line.gaps) found.push([gap.from_us, "gap", `${t(`gap_${gap.track}`)} · ${((gap.to_us - gap.from_us) / SECOND).toFixed(3)} s: ${gap.cause}`]);
  for (const [from, to, why] of holes(line)) {
    if (!line.gaps.some((gap) => gap.from_us < to && from < gap.to_us)) found.push([from, why === "altered" ? "altered" : "gap", `${t(`why_${why}`)} · ${((to - from) / SECOND).toFixed(3)} s`]);
  }
  for (const mute of line.mutes) found.push([mute.from_us, "mute", `${t("muted")} · ${((mute.to_us - mute.from_us) / SECOND).toFixed(1)} s: ${mute.name}`]);
  for (const fault of line.faults) found.push([fault.from_us, "fault", `${t("fault")}: ${[fault.name, fault.detail].filter(Boolean).join(" · ")}`]);
  for (const step of line.steps) found.push([step.at_us, "step", `${t("clock_step")} ${step.step_us >= 0 ? "+" : "−"}${(Math.abs(step.step_us) / SECOND).toFixed(3)} s → ${step.utc}`]);
  for (const one of line.power) found.push([one.at_us, "power", `${t("power")}: ${[one.percent === null ? "" : `${one.percent} %`, one.supply, ...one.flags].filter(Boolean).join(", ")}`]);
  for (const one of line.states) found.push([one.at_us, "state", `${t(`state_${one.state.replaceAll(" ", "_")}`, {}, one.state)}${one.source ? ` (${one.source})` : ""}`]);
  for (const epoch of line.epochs.slice(1)) found.push([epoch.at_us, "epoch", `${t("epoch")}: ${epoch.video} ${epoch.audio} (${epoch.reason})`]);
  found.push([line.length_us, "end", `${t(`end_${line.end.kind}`)} ${line.end.reason}`]);
  return found.sort((a, b) => a[0] - b[0]);
}

/** What comes of the verification; null where there is none, once the page says why. */
async function verification() {
  for (let tries = 0; ; tries++) {
    const found = await asked(`${base}/verdict.json`);
    if (found.known) return found;
    if (found.failed) {
      at("verdict").dataset.verdict = "unreadable";
      at("verdict").querySelector(".verdict-word").textContent = told("not_verified");
      at("verdict").querySelector(".verdict-why").textContent = found.failed;
      at("chain").replaceChildren(made("li", told("not_verified"), { class: "open" }));
      return null;
    }
    await new Promise((done) => setTimeout(done, POLL_MS[Math.min(tries, POLL_MS.length - 1)]));
  }
}

function showVerdict(found) {
  const bar = at("verdict");
  bar.dataset.verdict = found.verdict;
  bar.querySelector(".verdict-word").textContent = ofVerdict(found.verdict);
  const grave = ["altered", "unreadable"].includes(found.verdict) && found.why;
  const why = bar.querySelector(".verdict-why");
  why.textContent = grave || ofVerdict(`${found.verdict}_says`);
  if (grave) why.lang = "en";
  at("chain").replaceChildren(
    ...found.chain.map((link) => {
      const item = made("li", "", { class: link.standing });
      item.append(made("span", ofChain(`standing_${link.standing}`), { class: "standing" }), " ", made("span", ofChain(link.text, link.parts)));
      return item;
    }),
    ...found.notes.map((note) => made("li", `${note.where}: ${note.what}`, { class: "note", lang: "en" })),
  );
}

class Page {
  constructor(line) {
    this.line = line;
    this.problems = [];
    this.clip = [null, null];
    this.clock = new WallClock(line.clock);
    this.altered = new URLSearchParams(location.search).get("altered") === "1";
    this.player = new Player(at("video"), base, line, { altered: this.altered });
    this.strip = new Strip(at("strip"), at("slider"), line, t);
    at("slider").setAttribute("aria-valuemax", line.length_us / SECOND);
    this.strip.addEventListener("seek", (event) => this.player.seek(event.detail));
    for (const name of ["time", "state"]) this.player.addEventListener(name, () => this.refresh());
    this.player.addEventListener("spans", () => {
      this.strip.draw();
      this.listEvents();
    });
    this.thin = thinned(line);
    this.facts();
    this.listEvents();
    this.actions();
    const start = Number(new URLSearchParams(location.search).get("t") ?? 0) * SECOND;
    this.player.open(Number.isFinite(start) ? Math.min(Math.max(start, 0), line.length_us) : 0);
    this.strip.draw();
    this.refresh();
    const frame = () => {
      if (this.player.playing) this.refresh();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    this.player.begun().then(() => {
      this.verify();
      this.others();
      this.where();
    });
  }

  // --- what does not change ---------------------------------------------------------------------------------------------

  facts() {
    const { line } = this;
    at("device").textContent = `${line.device} · ${line.software}`;
    const before = line.pre_event;
    const short = before.reason ? `: ${before.reason}` : "";
    at("pre-event").textContent = `${before.got_s.toFixed(3)} / ${before.asked_s} s, ${told(before.audio ? "with_audio" : "without_audio")}${short}`;
    at("position").querySelector(".position-all").textContent = `/ ${elapsed(line.length_us)}`;
  }

  listEvents() {
    const rows = happenings(this.line).map(([us, kind, text]) => {
      const row = made("tr", "", { class: `event ${kind}` });
      const button = made("button", elapsed(us), { type: "button", class: "moment" });
      button.addEventListener("click", () => this.player.seek(us));
      const moment = made("td");
      moment.append(button);
      const day = utc(this.clock.at(us).ms);
      const what = made("td", text);
      if (day) what.append(" ", made("small", day.time));
      row.append(moment, what);
      row.dataset.us = us;
      return row;
    });
    at("events").tBodies[0].replaceChildren(...rows);
  }

  // --- what does ----------------------------------------------------------------------------------------------------------

  refresh() {
    const { line, player } = this;
    const us = player.us;
    const wall = this.clock.at(us);
    const day = utc(wall.ms);
    at("utc-date").textContent = day?.date ?? "";
    at("utc-time").textContent = day?.time ?? told("no_time");
    at("quality").textContent = [told(`quality_${wall.quality}`), wall.quality === "synchronised" ? uncertainty(wall.uncertainty_us) : ""].filter(Boolean).join(" · ");
    at("quality").dataset.quality = wall.quality;
    at("position").querySelector(".position-now").textContent = elapsed(us);
    if (line.press_us !== null) at("from-press").textContent = `${us >= line.press_us ? "+" : ""}${elapsed(us - line.press_us)}`;
    const officer = line.officers[lastAt(line.officers, us, (one) => one.at_us)] ?? line.officers[0];
    at("officer").textContent = officer ? officer.text || officer.unknown || "–" : "–";
    const power = line.power[lastAt(line.power, us, (one) => one.at_us)];
    at("battery").textContent = power ? [power.percent === null ? "" : `${power.percent} %`, power.supply].filter(Boolean).join(", ") : "–";
    const span = player.span(us);
    at("segment").textContent = span?.[2] ? `${span[2]} / ${line.spans.reduce((most, one) => Math.max(most, one[2]), 0)}` : "–";
    const epoch = line.epochs[(span?.[4] || 1) - 1] ?? line.epochs[0];
    at("format").textContent = [epoch.video, epoch.audio].filter(Boolean).join(", ");
    this.cover(us);
    this.strip.at(us, `${elapsed(us)}${day ? `, ${day.time} UTC` : ""}${player.covered(us) ? `, ${t(`why_${player.covered(us)}`)}` : ""}`);
    at("toggle").dataset.playing = player.playing;
    at("toggle").setAttribute("aria-label", t(player.playing ? "pause" : "play"));
    at("speed").textContent = player.playing && player.speed !== 1 ? `${player.speed}×` : "";
    at("mute").setAttribute("aria-pressed", String(at("video").muted));
    at("clip-at").value = (us / SECOND).toFixed(6);
    this.mark(us);
    this.track?.at(us);
  }

  /** What stands over the picture: the card where there is none, and what is the case with it where there is one. */
  cover(us) {
    const why = this.player.covered(us);
    const card = at("card");
    card.hidden = !why;
    at("stage").dataset.covered = why;
    if (why) {
      const { title, text } = reason(this.line, us, why);
      card.querySelector(".card-title").textContent = title;
      card.querySelector(".card-text").textContent = text;
    }
    const badges = [];
    if (this.line.press_us !== null && us < this.line.press_us) badges.push(["before", t("before_press")]);
    for (const mute of during(this.line.mutes, us)) badges.push(["mute", `${t("muted")}: ${mute.name}`]);
    for (const gap of this.line.gaps) if (gap.track !== "video" && gap.from_us <= us && us < gap.to_us) badges.push(["mute", t("no_audio")]);
    for (const gap of this.thin) if (gap.from_us <= us && us < gap.to_us) badges.push(["fault", `${t("frames_left_out")}: ${gap.cause}`]);
    for (const fault of during(this.line.faults, us)) badges.push(["fault", `${t("fault")}: ${fault.name}`]);
    for (const problem of this.problems) {
      if (problem.grave && problem.from_us !== null && problem.from_us <= us && us <= Math.max(problem.to_us, problem.from_us + 1000)) badges.push(["altered", ofVerdict("altered")]);
    }
    const now = badges.slice(0, 4).map(([kind, text]) => `${kind} ${text}`).join("|");
    if (at("badges").dataset.now !== now) {
      at("badges").dataset.now = now;
      at("badges").replaceChildren(...badges.slice(0, 4).map(([kind, text]) => made("span", text, { class: kind })));
    }
  }

  mark(us) {
    const rows = [...at("events").tBodies[0].rows];
    const here = lastAt(rows, us, (row) => Number(row.dataset.us));
    if (here === this.here) return;
    this.here = here;
    for (const [index, row] of rows.entries()) row.toggleAttribute("data-here", index === here);
  }

  // --- what a person does -------------------------------------------------------------------------------------------------

  actions() {
    const { player, strip } = this;
    const acts = {
      toggle: () => player.toggle(),
      back: () => player.back(),
      faster: () => player.faster(),
      frame: () => player.step(1),
      "frame-back": () => player.step(-1),
      second: () => player.seek(player.us + SECOND),
      "second-back": () => player.seek(player.us - SECOND),
      before: () => this.jump(false),
      behind: () => this.jump(true),
      first: () => player.seek(0),
      last: () => player.seek(this.line.length_us),
      in: () => this.cut(0),
      out: () => this.cut(1),
      whole: () => this.setClip([null, null]),
      closer: () => strip.zoom(0.5),
      farther: () => strip.zoom(2),
      mute: () => {
        at("video").muted = !at("video").muted;
      },
      keys: () => at("keys").showModal(),
    };
    for (const button of place.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => acts[button.dataset.do]());
    }
    new Keyboard(acts, at("keys-on"));
    for (const input of [at("clip-from"), at("clip-to")]) input.addEventListener("change", () => this.typed());
    new HandOut(at("out-form"), at("jobs"));
  }

  jump(forwards) {
    const us = beside(landmarks(this.line, this.problems), this.player.us, forwards);
    if (us !== null) this.player.seek(us);
    else if (forwards) this.player.seek(this.line.length_us);
  }

  /** In (0) or out (1) at the frame that is shown: a clip begins with it, and ends behind it. */
  async cut(side) {
    const us = this.player.us;
    const frame = await this.player.frameAt(us);
    const begin = frame ? frame.us : us;
    const clip = [...this.clip];
    clip[side] = side ? begin + this.line.frame_us : begin;
    if (clip[0] !== null && clip[1] !== null && clip[0] >= clip[1]) clip[1 - side] = null;
    this.setClip(clip);
  }

  setClip(clip) {
    this.clip = this.strip.clip = clip;
    const [from, to] = clip.map((us) => (us === null ? "" : (us / SECOND).toFixed(6).replace(/\.?0+$/, "")));
    at("clip-from").value = from;
    at("clip-to").value = to;
    const length = (clip[1] ?? this.line.length_us) - (clip[0] ?? 0);
    at("out-hint").textContent = from || to ? told("clip_is", { length: elapsed(length) }) : told("out_hint");
    this.strip.draw();
  }

  typed() {
    const read = (input) => {
      const text = input.value.trim().replace(",", ".");
      const value = text === "" ? null : Number(text) * SECOND;
      const wrong = value !== null && !(value >= 0 && value <= this.line.length_us);
      input.setCustomValidity(wrong ? told("not_in_recording") : "");
      if (wrong) input.reportValidity();
      return wrong ? null : value;
    };
    this.clip = this.strip.clip = [read(at("clip-from")), read(at("clip-to"))];
    this.strip.draw();
  }

  /** The drawing of where it was, where there is one. */
  async where() {
    this.track = new TrackDrawing(at("where"), await asked(`${base}/track.json`));
    this.track.addEventListener("seek", (event) => this.player.seek(event.detail));
    this.track.at(this.player.us);
  }

  /** Other cameras at this time: three of them can stand beside this one. */
  async others() {
    const { others } = await asked(`${base}/others.json`);
    at("others").hidden = !others.length;
    const first = new Map(others.map((one) => [one.device, one]).reverse()); // of each camera its newest recording
    const chosen = new Set(others.filter((one) => first.get(one.device) === one).slice(0, 3));
    at("others").querySelector("ul").replaceChildren(
      ...others.map((one) => {
        const box = made("input", "", { type: "checkbox", name: "r", value: `${one.device}/${one.recording}` });
        box.checked = chosen.has(one);
        const label = made("label");
        label.append(box, " ", one.name);
        const item = made("li");
        item.append(label);
        return item;
      }),
    );
  }

  // --- the verification ---------------------------------------------------------------------------------------------------

  async verify() {
    const found = await verification();
    if (found) this.judged(found);
  }

  judged(found) {
    showVerdict(found);
    this.problems = this.strip.problems = found.problems.sort((a, b) => b.grave - a.grave);
    const list = at("problems");
    list.hidden = !found.problems.length;
    list.toggleAttribute("data-grave", found.problems.some((one) => one.grave));
    list.querySelector("ol").replaceChildren(...found.problems.map((problem) => this.problem(problem)));
    if (found.problems.some((one) => one.grave) && this.line.spans.some((one) => one[2])) list.append(this.alteredSwitch());
    if (found.excerpt) {
      const { first, last } = found.excerpt;
      for (const span of this.line.spans) if (span[2] && (span[2] < first || span[2] > last)) span[3] = "withheld";
      this.listEvents();
    }
    this.strip.draw();
    this.refresh();
  }

  problem(problem) {
    const item = made("li", "", { class: problem.grave ? "grave" : "" });
    if (problem.from_us !== null) {
      const button = made("button", elapsed(problem.from_us), { type: "button", class: "moment" });
      button.addEventListener("click", () => this.player.seek(problem.from_us));
      item.append(button, " ");
    }
    const said = made("span", "", { lang: "en" });
    said.append(made("b", problem.where), " ", problem.what);
    item.append(said);
    if (problem.follows) item.append(" ", made("small", told("follows")));
    return item;
  }

  /** What is not what was signed is not played, unless somebody asks for it: then it is named for as long as it plays. */
  alteredSwitch() {
    const away = new URL(location.href);
    if (this.altered) away.searchParams.delete("altered");
    else away.searchParams.set("altered", "1");
    away.searchParams.set("t", (this.player.us / SECOND).toFixed(3));
    const link = made("a", told(this.altered ? "without_altered" : "with_altered"), { href: away.pathname + away.search });
    const note = made("p");
    note.append(link);
    return note;
  }
}

try {
  window.desk = new Page(await asked(`${base}/timeline.json`));
  place.dataset.ready = "true";
} catch (error) {
  at("stage").dataset.covered = "unreadable";
  at("card").hidden = false;
  at("card").querySelector(".card-title").textContent = told("not_readable");
  place.dataset.ready = "failed";
  // Where nothing of it can be shown it is verified all the same, and that says why.
  const found = await verification();
  if (found) {
    showVerdict(found);
    at("problems").hidden = !found.problems.length;
    at("problems").querySelector("ol").replaceChildren(...found.problems.map((one) => made("li", `${one.where} ${one.what}`, { lang: "en" })));
  }
  throw error;
}
