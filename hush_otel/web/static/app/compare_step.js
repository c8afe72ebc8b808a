// What differs in one step of two requests: how each failed, the model, the lines of input and output.
import { html } from "./dom.js";
import { get } from "./api.js";
import { useResource } from "./data.js";
import { exact, name, plural } from "./format.js";
import { Text } from "./payload.js";
import { requestPath } from "./router.js";
import { Loaded } from "./states.js";

const ERROR_CHARS = 600;

/** Whether there is more to say of a step than its figures. */
export const hasDetails = (row) => Boolean(row.input_differs || row.output_differs || row.a?.error || row.b?.error || anotherModel(row));

const anotherModel = ({ a, b }) => Boolean(a && b && a.model !== b.model);

export function StepDetails({ row, a, b }) {
  return html`<div class="step-details">
    ${anotherModel(row) && html`<p><b>Model</b> ${name(row.a.model, 80) || "none"} → ${name(row.b.model, 80) || "none"}</p>`}
    <${Failures} ...${row} />
    ${(row.input_differs || row.output_differs) && html`<${Contents} row=${row} a=${a} b=${b} />`}
    <p class="muted">In full: ${row.a && html`<${InFull} side=${row.a} request=${a} label="A" />`} ${row.b && html`<${InFull} side=${row.b} request=${b} label="B" />`}</p>
  </div>`;
}

const spanOf = (side) => `${side.trace_id}-${side.span_id}`;

const InFull = ({ side, request, label }) => html`<a href=${requestPath(request, { span: spanOf(side) })}>the span in ${label}</a>`;

function Failures({ a, b }) {
  if (!a?.error && !b?.error) return null;
  if (a?.error === b?.error) return html`<${Failure} label="Error of both" error=${a.error} />`;
  return html`<div class="failures"><${Failure} label="Error of A" error=${a?.error} /><${Failure} label="Error of B" error=${b?.error} /></div>`;
}

const Failure = ({ label, error }) => html`<section class=${error ? "error-box" : "error-box none"} aria-label=${label}>
  <h3>${label}</h3>${error ? html`<${Text} text=${error} limit=${ERROR_CHARS} />` : html`<span class="muted">none</span>`}
</section>`;

function Contents({ row, a, b }) {
  const said = { a, a_span: spanOf(row.a), b, b_span: spanOf(row.b) };
  const resource = useResource(JSON.stringify(said), (signal) => get("/api/compare/step", said, signal));
  return html`<${Loaded} resource=${resource} lines=${3}>${({ input, output }) => html`
    ${input && html`<${Differences} what="Input" ...${input} />`}${output && html`<${Differences} what="Output" ...${output} />`}`}<//>`;
}

function Differences({ what, lines, more, cut }) {
  const changed = marked(lines);
  return html`<section class="differences" aria-label=${`What differs in the ${what.toLowerCase()}`}>
    <h3>${what}</h3>
    ${lines.length > 0 && html`<pre tabindex="0">${changed.map((line, i) => html`<${Line} key=${i} ...${line} />`)}</pre>`}
    ${more > 0 && html`<p class="muted">and ${plural(more, "more line")} of differences</p>`}
    ${cut && html`<p class="muted">${lines.length ? "The texts are long: not all of them was compared." : "They are the same as far as they were compared: they differ further on."}</p>`}
  </section>`;
}

const KINDS = { "-": ["removed", "only in A"], "+": ["added", "only in B"] };

/** `@ -12,3 +14,2 @@` in words. */
const place = (text) => text.replace(/^@ -(\d+)\S* \+(\d+)\S* @@$/, (_, a, b) => (a === b ? `line ${a}` : `line ${a} in A, ${b} in B`));

function Line({ mark, text, part }) {
  const [css, spoken] = KINDS[mark] ?? ["", ""];
  const words = part ? html`${exact(text.slice(0, part[0]))}<mark>${exact(text.slice(...part))}</mark>${exact(text.slice(part[1]))}` : exact(text);
  if (mark === "@") return html`<span class="line place"><i /><span>${place(text)}</span></span>`;
  return html`<span class=${`line ${css}`}><i aria-hidden="true">${mark}</i>${spoken && html`<span class="unseen">${spoken}: </span>`}<span>${words}</span></span>`;
}

/** The lines apart from what stands before them. Where as many lines go as come, each pair says in which part it differs. */
function marked(lines) {
  const found = lines.map((line) => ({ mark: line[0], text: line.slice(1), part: null }));
  for (let i = 0; i < found.length; i++) {
    const gone = runOf(found, i, "-");
    const come = runOf(found, i + gone, "+");
    if (gone > 0 && gone === come) for (let k = i; k < i + gone; k++) markPart(found[k], found[k + gone]);
    i += Math.max(0, gone + come - 1);
  }
  return found;
}

function runOf(lines, from, mark) {
  let end = from;
  while (end < lines.length && lines[end].mark === mark) end += 1;
  return end - from;
}

function markPart(a, b) {
  const most = Math.min(a.text.length, b.text.length);
  let ahead = 0;
  while (ahead < most && a.text[ahead] === b.text[ahead]) ahead += 1;
  let behind = 0;
  while (behind < most - ahead && a.text[a.text.length - 1 - behind] === b.text[b.text.length - 1 - behind]) behind += 1;
  if (ahead + behind === 0) return; // nothing in common: the whole line has changed
  for (const line of [a, b]) line.part = [ahead, line.text.length - behind];
}
