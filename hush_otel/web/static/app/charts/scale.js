// Numbers to pixels, and the round numbers that an axis shows.

export const linear = (from, to, low, high) => (value) => low + ((value - from) / (to - from || 1)) * (high - low);

export function logarithmic(from, to, low, high) {
  const inner = linear(Math.log10(from), Math.log10(to), low, high);
  return (value) => inner(Math.log10(Math.max(value, from)));
}

/** Round numbers from 0 to `top` and beyond, `most` steps at most. */
export function roundTicks(top, most = 4) {
  if (!(top > 0)) return [0];
  const power = 10 ** Math.floor(Math.log10(top / most));
  const step = [1, 2, 5, 10].find((it) => it * power * most >= top) * power;
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, n) => n * step);
}

/** The powers of ten from `from` to `to`. */
export function powers(from, to) {
  const found = [];
  for (let at = Math.ceil(Math.log10(from) - 1e-9); at <= Math.log10(to) + 1e-9; at += 1) found.push(10 ** at);
  return found;
}

const STEPS_S = [1, 2, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 259_200, 604_800, 2_592_000];

/** Moments on the second, the hour or the day between two, at most `most` of them, in unix seconds; by local time. */
export function timeTicks(from, to, most = 6) {
  const step = STEPS_S.find((it) => (to - from) / it <= most) ?? Math.ceil((to - from) / most);
  const shift = new Date(to * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) found.push(at);
  return { found, step };
}

const two = (value) => String(value).padStart(2, "0");

/** A moment on an axis whose marks lie `step` seconds apart. */
export function timeLabel(at, step) {
  const when = new Date(at * 1000);
  if (step >= 86_400) return `${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  const minute = `${two(when.getHours())}:${two(when.getMinutes())}`;
  return step < 60 ? `${minute}:${two(when.getSeconds())}` : minute;
}
