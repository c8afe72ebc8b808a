// A value that somebody recorded: folded JSON where it is JSON, text where it is not. Never markup.
import { html, useMemo, useState } from "./dom.js";
import { getText } from "./api.js";
import { CopyButton } from "./copy.js";
import { count, exact } from "./format.js";
import { Icon } from "./icons.js";

const OPEN_DEPTH = 2;
const OPEN_ENTRIES = 24;
const PAGE = 100;
const LONG_CHARS = 1200;

/** `payload` is `{text, size, json, cut}`, `path` the address of the whole. */
export function Payload({ payload, path, what }) {
  const [raw, setRaw] = useState(false);
  const value = useMemo(() => parsed(payload), [payload.text, payload.json, payload.cut]);
  const tree = value !== undefined && typeof value === "object" && value !== null && !raw;
  return html`<div class="payload">
    <div class="payload-tools">
      ${payload.cut && html`<span class="warn">the first ${count(payload.text.length)} of ${count(payload.size)} characters</span>`}
      <span class="spring" />
      ${value !== undefined && typeof value === "object" && html`<button class="quiet" aria-pressed=${String(raw)} onClick=${() => setRaw(!raw)}>Text</button>`}
      <${CopyButton} text=${() => (payload.cut ? getText(path) : payload.text)} what=${what} />
      <a class="button quiet" href=${path} download title=${`Download all of ${what}`} aria-label=${`Download all of ${what}`}><${Icon} of="down" />${payload.cut && "Download all"}</a>
    </div>
    ${tree ? html`<div class="json"><${Value} value=${value} depth=${0} /></div>` : html`<${Text} text=${typeof value === "string" && !raw ? value : payload.text} />`}
  </div>`;
}

/** A number that a double cannot hold, by its digits. */
class Exact {
  constructor(digits) {
    this.digits = digits;
  }
}

function parsed({ text, json, cut }) {
  if (!json || cut) return undefined;
  try {
    return JSON.parse(text, (_, value, context) =>
      typeof value === "number" && context && !Number.isSafeInteger(value) && String(value) !== context.source ? new Exact(context.source) : value,
    );
  } catch {
    return undefined;
  }
}

/** Text with its line breaks; long text is cut until somebody wants it. */
export function Text({ text, limit = LONG_CHARS }) {
  const [all, setAll] = useState(false);
  const shown = all || text.length <= limit * 1.2 ? text : text.slice(0, limit);
  return html`<pre class="text">${exact(shown)}${shown.length < text.length && html`…
<button class="quiet more" onClick=${() => setAll(true)}>Show ${count(text.length - shown.length)} more characters</button>`}</pre>`;
}

function Value({ value, label, depth }) {
  if (value instanceof Exact) return html`<${Leaf} label=${label} css="number">${value.digits}<//>`;
  if (value !== null && typeof value === "object") return html`<${Branch} value=${value} label=${label} depth=${depth} />`;
  if (typeof value === "string") return html`<${Leaf} label=${label} css="string"><${LongString} text=${value} /><//>`;
  return html`<${Leaf} label=${label} css=${value === null ? "null" : typeof value}>${String(value)}<//>`;
}

const Key = ({ label }) => label === undefined ? null : html`<span class="key">${exact(label)}</span>`;

const Leaf = ({ label, css, children }) => html`<div class="leaf"><${Key} label=${label} /><span class=${css}>${children}</span></div>`;

function LongString({ text }) {
  const [all, setAll] = useState(false);
  if (all || text.length <= 400) return exact(text);
  return html`${exact(text.slice(0, 300))}… <button class="quiet more" onClick=${() => setAll(true)}>${count(text.length)} characters</button>`;
}

function Branch({ value, label, depth }) {
  const keys = Object.keys(value);
  const [open, setOpen] = useState(depth < OPEN_DEPTH && keys.length <= OPEN_ENTRIES);
  const [limit, setLimit] = useState(PAGE);
  const list = Array.isArray(value);
  const summary = list ? `[${keys.length}]` : `{${keys.length}}`;
  if (!keys.length) return html`<${Leaf} label=${label} css="null">${list ? "[]" : "{}"}<//>`;
  return html`<div class="branch">
    <button class=${open ? "fold open" : "fold"} aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
      <${Icon} of="fold" /><${Key} label=${label} /><span class="count">${summary}</span>${!open && html`<span class="preview">${preview(value, keys)}</span>`}
    </button>
    ${open && html`<div class="children">
      ${keys.slice(0, limit).map((key) => html`<${Value} key=${key} label=${key} value=${value[key]} depth=${depth + 1} />`)}
      ${keys.length > limit && html`<button class="quiet more" onClick=${() => setLimit(limit + PAGE)}>${count(keys.length - limit)} more</button>`}
    </div>`}
  </div>`;
}

const BRIEF = 3;

function preview(value, keys) {
  const parts = keys.slice(0, BRIEF).map((key) => {
    const inner = value[key];
    const shown = inner instanceof Exact ? inner.digits : inner !== null && typeof inner === "object" ? "…" : exact(String(inner).slice(0, 32));
    return Array.isArray(value) ? shown : `${exact(key)}: ${shown}`;
  });
  return parts.join(", ") + (keys.length > BRIEF ? ", …" : "");
}
