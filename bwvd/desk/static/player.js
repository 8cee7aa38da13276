// Player of one recording: a moment of the video is the same moment of the timeline, always.
//
// The playlist covers the axis without a hole. Where there is no picture the desk sends a frame that is held still, and
// `covered` says why: whoever shows the video covers it.

import Hls from "./vendor/hls.light.min.mjs";
import { SECOND, lastAt } from "./time.js";

const SETTINGS = {
  enableWorker: false, // a worker would be made of a blob, which the page forbids
  maxBufferLength: 8, // seconds ahead: all of it lies on this machine
  maxMaxBufferLength: 16,
  maxBufferSize: 24 * 1024 * 1024,
  backBufferLength: 8,
  maxFragLookUpTolerance: 0, // lengths are exact: a moment at a segment's end lies in that segment
  startFragPrefetch: true,
  testBandwidth: false,
  autoStartLoad: true,
  fragLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 20_000, // a store may be far away
      maxLoadTimeMs: 60_000,
      timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 3, retryDelayMs: 500, maxRetryDelayMs: 4000 },
    },
  },
};

const MENDED_MOST = 3; // times that a decoder is set up anew, until what it can't decode is given up

/** What gives hls.js a playlist that has come with the timeline: the two belong together, also where a recording grows. */
function loaderOf(playlist) {
  return class {
    context = null;
    stats = { aborted: false, loaded: 0, total: 0, retry: 0, chunkCount: 0, bwEstimate: 0, loading: { start: 0, first: 0, end: 0 }, parsing: { start: 0, end: 0 }, buffering: { start: 0, first: 0, end: 0 } };

    load(context, _, callbacks) {
      this.context = context;
      const now = performance.now();
      Object.assign(this.stats, { loaded: playlist.length, total: playlist.length, loading: { start: now, first: now, end: now } });
      queueMicrotask(() => {
        if (!this.stats.aborted) callbacks.onSuccess({ url: new URL(context.url, location.href).href, data: playlist, code: 200 }, this.stats, context, null);
      });
    }

    abort() {
      this.stats.aborted = true;
    }

    destroy() {
      this.abort();
    }
  };
}

/** Events: `time` (the moment has changed), `state` (plays, stands, is broken), `spans` (more is known to be missing). */
export class Player extends EventTarget {
  /**
   * video: the element. base: the recording's address, without a slash at its end. line: its timeline.
   * altered: play also what is not what was signed.
   */
  constructor(video, base, line, { altered = false } = {}) {
    super();
    this.video = video;
    this.base = base;
    this.line = line;
    this.altered = altered;
    this.broken = ""; // why nothing is played at all: "codec", "network", "media"
    this.backwards = 0; // how many times as fast it is played back
    this.shown_us = null; // the frame on the screen, by the browser itself
    this._frames = new Map(); // of a segment, by its number
    this._mended = 0;
    this._timer = 0;
    for (const name of ["timeupdate", "seeking", "seeked", "loadeddata"]) {
      video.addEventListener(name, () => this._tell("time"));
    }
    for (const name of ["play", "pause", "ended", "ratechange", "waiting", "playing", "volumechange"]) {
      video.addEventListener(name, () => this._tell("state"));
    }
    this._watchFrames();
  }

  /** Begin to load, so that the frame at a moment is shown. */
  open(us = 0) {
    if (this.line.sealed || !this.line.spans.length) return;
    if (!Hls.isSupported()) {
      this._break("codec");
      return;
    }
    const playlist = this.altered ? this.line.playlist.replace(/^seg\/\d+\.m4s$/gm, "$&?altered=1") : this.line.playlist;
    const hls = (this.hls = new Hls({ ...SETTINGS, pLoader: loaderOf(playlist), startPosition: us / SECOND }));
    hls.on(Hls.Events.LEVEL_LOADED, () => this._setOrigin());
    hls.on(Hls.Events.INIT_PTS_FOUND, (_, found) => this._checkOrigin(found));
    hls.on(Hls.Events.FRAG_LOADED, (_, loaded) => this._learn(loaded));
    hls.on(Hls.Events.ERROR, (_, error) => this._failed(error));
    hls.loadSource(`${this.base}/playlist.m3u8`);
    hls.attachMedia(this.video);
  }

  /** Resolves when a frame is shown, or when none will be, or after a second: then there is time for all else. */
  begun() {
    if (this.covered()) return Promise.resolve();
    return new Promise((done) => {
      for (const name of ["loadeddata", "error"]) this.video.addEventListener(name, () => done(), { once: true });
      this.addEventListener("state", () => this.broken && done());
      setTimeout(done, 1000);
    });
  }

  close() {
    clearInterval(this._timer);
    this.hls?.destroy();
  }

  // --- where it is ---------------------------------------------------------------------------------------------------

  get us() {
    return Math.min(Math.max(Math.round(this.video.currentTime * SECOND), 0), this.line.length_us);
  }

  get playing() {
    return this.backwards > 0 || (!this.video.paused && !this.video.ended);
  }

  get speed() {
    return this.backwards ? -this.backwards : this.video.playbackRate;
  }

  /** The span at a moment: [begin, end, segment, why, epoch]. */
  span(us = this.us) {
    const index = lastAt(this.line.spans, us, (one) => one[0]);
    return this.line.spans[Math.max(index, 0)];
  }

  /** Why there is nothing to see at a moment; "" where there is. */
  covered(us = this.us) {
    if (this.line.sealed) return "sealed";
    if (this.broken) return this.broken;
    const why = this.span(us)?.[3] ?? "nothing";
    return why === "altered" && this.altered ? "" : why;
  }

  // --- what it is told -----------------------------------------------------------------------------------------------

  seek(us) {
    this._forwards();
    this._go(us);
  }

  async play(speed = 1) {
    this._forwards();
    if (this.us >= this.line.length_us - this.line.frame_us) this._go(0);
    this.video.playbackRate = speed;
    this._again();
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "AbortError") throw error; // it was told to stand still before it had begun
    }
  }

  pause() {
    this._forwards();
    this.video.pause();
    this.video.playbackRate = 1;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Faster with each call, to eight times. */
  faster() {
    this.play(this.playing && !this.backwards ? Math.min(this.video.playbackRate * 2, 8) : 1);
  }

  /** Backwards, faster with each call. */
  back() {
    const speed = this.backwards ? Math.min(this.backwards * 2, 8) : 1;
    this.video.pause();
    clearInterval(this._timer);
    this.backwards = speed;
    let last = performance.now();
    this._timer = setInterval(() => {
      const now = performance.now();
      if (this.video.seeking && now - last < 1000) return; // a frame is shown before the next is asked for
      const us = this.us - (now - last) * 1000 * speed;
      last = now;
      this._go(us);
      if (us <= 0) this.pause();
    }, 100);
    this._tell("state");
  }

  /** By so many frames, forwards or (negative) backwards, each by its own time. */
  async step(count) {
    this.pause();
    const at = this.us;
    let span = this.span(at);
    let frames = await this._framesOf(span);
    if (!frames.length) {
      this._go(at + count * this.line.frame_us);
      return;
    }
    let place = Math.max(lastAt(frames, at), 0) + count;
    while (place < 0 || place >= frames.length) {
      const forwards = place >= frames.length;
      span = this._beside(span, forwards);
      if (!span) {
        place = forwards ? frames.length - 1 : 0;
        break;
      }
      const more = await this._framesOf(span);
      if (!more.length) {
        this._go(forwards ? span[0] : span[1] - 1);
        return;
      }
      place = forwards ? place - frames.length : place + more.length;
      frames = more;
    }
    this._go(this._inside(frames, place));
  }

  /** The times of the frames around a moment: of the one that is shown, and of the one behind it. */
  async frameAt(us) {
    const frames = await this._framesOf(this.span(us));
    const place = lastAt(frames, us);
    return place < 0 ? null : { us: frames[place], number: place };
  }

  // --- inside --------------------------------------------------------------------------------------------------------

  _tell(name) {
    this.dispatchEvent(new Event(name));
  }

  _break(why) {
    this.broken = why;
    this._tell("state");
    this._tell("time");
  }

  _forwards() {
    clearInterval(this._timer);
    this.backwards = 0;
  }

  /** What was not to be had may be there again: a card that was pulled out, a store behind a network. */
  _again() {
    if (this.broken !== "network") return;
    this.broken = "";
    this.hls.startLoad(this.video.currentTime);
    this._tell("state");
  }

  _go(us) {
    const most = Math.max(this.line.length_us - Math.round(this.line.frame_us / 2), 0);
    this.video.currentTime = Math.min(Math.max(us, 0), most) / SECOND;
    this._again();
    this._tell("time");
  }

  /** A moment within a frame, clear of the rounding of its begin. */
  _inside(frames, place) {
    const lasts = (place + 1 < frames.length ? frames[place + 1] - frames[place] : this.line.frame_us) || 1;
    return frames[place] + Math.min(Math.ceil(lasts / 4), 4000);
  }

  _beside(span, forwards) {
    const index = lastAt(this.line.spans, span[0], (one) => one[0]);
    return this.line.spans[index + (forwards ? 1 : -1)];
  }

  async _framesOf(span) {
    if (!span || !span[2] || this.covered(span[0])) return [];
    if (!this._frames.has(span[2])) {
      const answer = await fetch(`${this.base}/frames/${span[2]}.json`);
      this._frames.set(span[2], answer.ok ? (await answer.json()).frames : []);
    }
    return this._frames.get(span[2]);
  }

  _watchFrames() {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
    const seen = (_, frame) => {
      this.shown_us = Math.round(frame.mediaTime * SECOND);
      this._tell("time");
      this.video.requestVideoFrameCallback(seen);
    };
    this.video.requestVideoFrameCallback(seen);
  }

  /**
   * Tell hls.js where media time 0 lies. It would take it from the first segment that it happens to load, by the begin
   * of its audio or its video, which differ by up to a frame.
   */
  _setOrigin() {
    const known = this.hls.streamController.initPTS;
    for (const [continuity, map] of this.line.maps.entries()) {
      known[continuity] = { baseTime: map.base, timescale: map.timescale, trackId: map.track };
    }
  }

  _checkOrigin({ frag, initPTS, timescale }) {
    const map = this.line.maps[frag.cc];
    if (!map || Math.abs(initPTS / timescale - map.base / map.timescale) > 1e-4) this._break("media");
  }

  /** What the desk says of a segment that it could not give: nobody knew before it was read. */
  _learn({ frag, networkDetails }) {
    const why = networkDetails?.getResponseHeader?.("bwvd-why") ?? "";
    const number = Number(/seg\/(\d+)\.m4s/.exec(frag.relurl)?.[1] ?? 0);
    const span = number && this.line.spans.find((one) => one[2] === number);
    if (!span || span[3] === why) return;
    span[3] = why;
    this._tell("spans");
    this._tell("time");
  }

  _failed(error) {
    if (!error.fatal) return;
    if (error.details === Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR || /codec/i.test(error.details)) this._break("codec");
    else if (error.type === Hls.ErrorTypes.NETWORK_ERROR) this._break("network");
    else if (error.type === Hls.ErrorTypes.MEDIA_ERROR && this._mended++ < MENDED_MOST) this.hls.recoverMediaError();
    else this._break("media");
  }
}
