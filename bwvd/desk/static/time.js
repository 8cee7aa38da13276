// Times of a recording: microseconds since its first frame, and the time of day by its stamps. Pure.

export const SECOND = 1e6;

/** `mm:ss.mmm`, or `h:mm:ss.mmm` from an hour on; rounded down. `digits`: of the fraction, 0 to 3. */
export function elapsed(us, digits = 3) {
  const sign = us < 0 ? "−" : "";
  const ms = Math.floor(Math.abs(us) / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(ms / 3_600_000);
  const minutes = two(Math.floor(ms / 60_000) % 60);
  const fraction = digits ? "." + String(ms % 1000).padStart(3, "0").slice(0, digits) : "";
  return sign + (hours ? `${hours}:` : "") + `${minutes}:${two(Math.floor(ms / 1000) % 60)}${fraction}`;
}

/** `2026-11-22` and `07:15:03.016` of milliseconds since 1970; null for what is no time. */
export function utc(ms) {
  if (ms === null || !Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return null;
  const text = new Date(Math.floor(ms)).toISOString();
  const [date, time] = text.split("T");
  return { date, time: time.slice(0, 12) };
}

/** How far a clock may be off, for a person: "±12 ms". */
export function uncertainty(us) {
  if (us === null || us === undefined) return "";
  if (us < 1000) return `±${us} µs`;
  return us < SECOND ? `±${Math.round(us / 1000)} ms` : `±${(us / SECOND).toFixed(1)} s`;
}

/** The last entry of an ascending list at or before a value; -1 where there is none. */
export function lastAt(list, value, key = (entry) => entry) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The wall clock of a recording. `readings`: [moment, milliseconds since 1970 or null, quality, uncertainty], ascending. */
export class WallClock {
  constructor(readings) {
    this.readings = readings;
  }

  at(us) {
    if (!this.readings.length) return { ms: null, quality: "", uncertainty_us: null };
    const [at, ms, quality, uncertainty_us] = this.readings[Math.max(lastAt(this.readings, us, (one) => one[0]), 0)];
    return { ms: ms === null ? null : ms + (us - at) / 1000, quality, uncertainty_us };
  }

  /** The moment that shows a time of day: in the first stretch that does, else behind the last that began before it. */
  find(ms) {
    const known = this.readings.filter((one) => one[1] !== null);
    if (!known.length) return null;
    let behind = null;
    for (const [index, [at, begin]] of known.entries()) {
      const us = at + (ms - begin) * 1000;
      const end = index + 1 < known.length ? known[index + 1][0] : Infinity;
      if (us >= at && us < end) return us;
      if (begin <= ms) behind = Math.min(us, end);
    }
    const [at, begin] = known[0];
    return behind ?? at + (ms - begin) * 1000;
  }
}

const BEST = ["synchronised", "free", "not_set"];

/**
 * The same for recordings that are shown beside each other: one reading counts for all of a recording, so that nothing
 * jumps where its clock was set. The best one, and of several the last: a clock is set because it was wrong before.
 */
export class SteadyClock {
  constructor(readings) {
    const known = readings.filter((one) => one[1] !== null);
    const rank = (one) => (BEST.includes(one[2]) ? BEST.indexOf(one[2]) : BEST.length);
    this.reading = known.toSorted((a, b) => rank(a) - rank(b) || b[0] - a[0])[0] ?? null;
  }

  at(us) {
    if (!this.reading) return { ms: null, quality: "", uncertainty_us: null };
    const [at, ms, quality, uncertainty_us] = this.reading;
    return { ms: ms + (us - at) / 1000, quality, uncertainty_us };
  }

  find(ms) {
    return this.reading ? this.reading[0] + (ms - this.reading[1]) * 1000 : null;
  }
}
