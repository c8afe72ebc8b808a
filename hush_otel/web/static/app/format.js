// Values for people, in the words of the terminal (hush_otel/presentation/text.py).

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** `85 µs`, `12.3 ms`, `1.24 s`, `2m 05s`, `3h 07m`, `2d 04h`. */
export function duration(ms) {
  if (!isNumber(ms)) return "–";
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 999.5) return `${significant(ms)} ms`;
  if (ms < 59_950) return `${significant(ms / 1000)} s`;
  return clock(Math.round(ms / 1000));
}

const ABSURD_DAYS = 1e9; // nobody reads them digit by digit
const significant = (value) => value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(value))));
const two = (value) => String(value).padStart(2, "0");

function clock(seconds) {
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (hours < 1) return `${minutes}m ${two(seconds % 60)}s`;
  if (days < 1) return `${hours}h ${two(minutes % 60)}m`;
  return days < ABSURD_DAYS ? `${days}d ${two(hours % 24)}h` : `${days.toExponential(0)}d`;
}

const ABSURD_USD = 1e12; // nobody reads it digit by digit
const MOST = 1e308;

/** A sum that stays finite, whatever is added up; what is missing counts as nothing. */
export const total = (values) => values.reduce((all, value) => Math.min(all + (value ?? 0), MOST), 0);

/** Dollars with three significant digits, at least cents; `~` in front of what a price table says. */
export function cost(usd, computed = null) {
  if (!isNumber(usd)) return "";
  const sign = computed ? "~" : "";
  if (usd === 0) return `${sign}$0`;
  if (Math.abs(usd) >= ABSURD_USD) return `${sign}${usd < 0 ? "-" : ""}$${Math.abs(usd).toExponential(0)}`;
  const places = Math.max(2, 2 - Math.floor(Math.log10(Math.abs(usd))));
  const [whole, decimals = ""] = Math.abs(usd).toFixed(Math.min(places, 20)).split(".");
  return `${sign}${usd < 0 ? "-" : ""}$${grouped(Number(whole))}.${decimals.replace(/0+$/, "").padEnd(2, "0")}`;
}

/** `1,234`; empty for what is no number. */
export const count = (value) => (isNumber(value) ? grouped(Math.round(value)) : "");
const grouped = (value) => value.toLocaleString("en-US");

/** `123→45`; the total where the parts are unknown. */
export function tokens(prompt, completion, total) {
  if (!isNumber(prompt) && !isNumber(completion)) return count(total);
  return `${count(prompt) || "?"}→${count(completion) || "?"}`;
}

/** `1 span`, `1,024 spans`. */
export const plural = (amount, noun) => `${grouped(amount)} ${noun}${amount === 1 ? "" : "s"}`;

/** `512 B`, `1.5 MiB`. */
export function size(bytes) {
  if (!isNumber(bytes)) return "–";
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  while (value >= 1024 && units.length > 1) {
    value /= 1024;
    units.shift();
  }
  return `${value.toFixed(1)} ${units[0]}`;
}

/** `12s ago`: coarse, for it stands still between two renderings. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}

/** A moment as local time: the hour today, the day this year, else the full date. */
export function moment(value) {
  const when = new Date(typeof value === "number" ? value * 1000 : value);
  if (value === null || value === undefined || Number.isNaN(when.getTime())) return "–";
  const now = new Date();
  const time = `${two(when.getHours())}:${two(when.getMinutes())}`;
  if (when.toDateString() === now.toDateString()) return `${time}:${two(when.getSeconds())}`;
  const day = `${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  return when.getFullYear() === now.getFullYear() ? `${day} ${time}` : `${when.getFullYear()}-${day} ${time}`;
}

/** A moment in full, for the text that shows on hover. */
export function fullMoment(value) {
  const when = new Date(typeof value === "number" ? value * 1000 : value);
  if (value === null || value === undefined || Number.isNaN(when.getTime())) return "";
  return `${when.toLocaleString("sv-SE")}.${String(when.getMilliseconds()).padStart(3, "0")} local · ${when.toISOString()}`;
}

// Escape sequences of terminals, then controls, bidi marks and what is there without being seen.
const ANSI = /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]/g;
const UNSEEN =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;

/** A name on one line, without anything that could move or hide what stands beside it. */
export function name(value, limit = 300) {
  const whole = String(value ?? "");
  const text = oneLine(whole.slice(0, limit * 4).replace(ANSI, "").trim());
  return text.length <= limit && whole.length <= limit * 4 ? text : `${text.slice(0, limit - 1)}…`;
}

/** The same of a piece of a text: blanks at its ends stay, and nothing is cut. */
export const piece = (text) => oneLine(text.replace(ANSI, ""));

const oneLine = (text) =>
  text
    .replace(/\r\n|[\n\r\v\f\x85\u2028\u2029]/g, "↵")
    .replace(/\t/g, " ")
    .replace(UNSEEN, "");

/** A text of several lines, in which the same characters are written out, so that they can be seen. */
export function exact(value) {
  return String(value ?? "").replace(UNSEEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

/** Tags as the view has them: JSON text of a list. */
export function tagList(tags) {
  try {
    const found = typeof tags === "string" ? JSON.parse(tags) : tags;
    return Array.isArray(found) ? found.map(String) : [];
  } catch {
    return [];
  }
}
