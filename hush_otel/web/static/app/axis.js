// The time axis of a waterfall: round numbers at even distances, and where a moment lies between two others.

/** Ticks `{ms, at}` from `from` to `to`, at most one in `pxEach` pixels of `widthPx`; `at` is a share of the width. */
export function ticks(from, to, widthPx, pxEach = 72) {
  const span = to - from;
  if (!(span > 0) || !(widthPx > 0)) return [{ ms: from, at: 0 }];
  const step = roundUp(span / Math.max(2, Math.floor(widthPx / pxEach)));
  const found = [];
  for (let n = Math.ceil(from / step); n * step <= to; n += 1) {
    found.push({ ms: n * step, at: (n * step - from) / span });
  }
  return found;
}

// 1, 2 or 5 times a power of ten; above a minute what clocks have.
const CLOCK_MS = [60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 43_200_000, 86_400_000];

function roundUp(ms) {
  if (ms > 30_000) return CLOCK_MS.find((it) => it >= ms) ?? Math.ceil(ms / 86_400_000) * 86_400_000;
  const power = 10 ** Math.floor(Math.log10(ms));
  const step = [1, 2, 5, 10].find((it) => it * power >= ms * 0.999) * power;
  return step > 20_000 ? 30_000 : step;
}

/** A tick's words: short, for its unit is that of the whole axis. */
export function tickLabel(ms, span) {
  if (ms === 0) return "0";
  if (span >= 120_000) return clock(ms);
  if (span >= 1500 || ms >= 1000) return `${trimmed(ms / 1000)} s`;
  return span >= 1.5 ? `${trimmed(ms)} ms` : `${trimmed(ms * 1000)} µs`;
}

const trimmed = (value) => String(Number(value.toPrecision(5)));

function clock(ms) {
  const seconds = Math.round(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
