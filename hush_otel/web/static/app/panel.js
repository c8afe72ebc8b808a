// What one span holds. Loaded when it is chosen, and again when it has ended.
import { html, useEffect, useRef } from "./dom.js";
import { getSpan, mediaPath, payloadPath } from "./api.js";
import { Conversation } from "./conversation.js";
import { CopyButton } from "./copy.js";
import { useResource } from "./data.js";
import { cost, count, duration, exact, fullMoment, moment, name, plural, size, tokens } from "./format.js";
import { Icon, STATUS_WORDS, StatusIcon, TypeIcon, typeOf } from "./icons.js";
import { Payload, Text } from "./payload.js";
import { requestPath, sessionPath } from "./router.js";
import { Loaded } from "./states.js";
import { below, failedBelow, hasChildren, rowOf } from "./tree_model.js";

const INLINE_IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

// What is to be said of rows that no span is behind.
const A_PASS = "A pass of the loop: its numbers are those of the nodes below it.";
const ADDED = {
  awaited: "Named as the parent of what is below it. A node comes when it ends, and this one has not ended yet.",
  missing: "Named as the parent of what is below it. It has not come, though the request is complete.",
};

export function SpanPanel({ requestId, tree, i, now, onClose }) {
  const row = rowOf(tree, i);
  const panel = useRef(null);
  useEffect(() => {
    if (matchMedia("(max-width: 900px)").matches) panel.current.focus();
  }, []);
  const type = typeOf(row);
  return html`<aside class="panel" ref=${panel} tabindex="-1" aria-label=${`Span ${name(row.name, 80)}`}>
    <header>
      <${TypeIcon} type=${type} label=${type} />
      <h2 title=${name(row.name)}>${name(row.name) || "(no name)"}</h2>
      <button class="quiet" onClick=${onClose} aria-label="Close the span" title="Close (Esc)"><${Icon} of="close" /></button>
    </header>
    <div class="panel-body" tabindex="0" role="group" aria-label="Content of the span">
      <${RowFacts} tree=${tree} row=${row} now=${now} />
      ${row.synthetic ? html`<p class="muted">${ADDED[row.status] ?? A_PASS}</p>` : html`<${Detail} requestId=${requestId} row=${row} />`}
    </div>
  </aside>`;
}

function RowFacts({ tree, row, now }) {
  const { index: i } = row;
  const parent = hasChildren(tree, i);
  const took = row.duration_ms ?? (row.status === "running" ? Math.max(0, now - tree.originMs - row.start_ms) : null);
  const sums = tree.sums;
  const used = tokens(row.prompt_tokens, row.completion_tokens, row.total_tokens);
  const usedBelow = parent && tokens(sums.prompt_tokens[i], sums.completion_tokens[i], sums.total_tokens[i]);
  return html`<dl class="facts">
    <div><dt>Status</dt><dd class=${`state state-${row.status}`}><${StatusIcon} status=${row.status} />${STATUS_WORDS[row.status] ?? row.status}</dd></div>
    <div><dt>Duration</dt><dd class="strong">${duration(took)}</dd></div>
    ${row.synthetic !== 2 && html`<div><dt>Started</dt><dd title=${fullMoment((tree.originMs + row.start_ms) / 1000)}>+${duration(row.start_ms)}</dd></div>`}
    ${row.model && html`<div><dt>Model</dt><dd>${name(row.model, 80)}</dd></div>`}
    ${used && html`<div><dt>Tokens</dt><dd>${used}</dd></div>`}
    ${row.cost_usd !== null && html`<div><dt>Cost</dt><dd>${cost(row.cost_usd, row.computed)}</dd></div>`}
    ${parent && html`<div><dt>Below it</dt><dd>${count(below(tree, i))} rows${failedBelow(tree, i) > 0 && html`, <span class="bad">${failedBelow(tree, i)} failed</span>`}</dd></div>`}
    ${usedBelow && html`<div><dt>Tokens in all</dt><dd>${usedBelow}</dd></div>`}
    ${parent && sums.cost_usd[i] !== null && html`<div><dt>Cost in all</dt><dd>${cost(sums.cost_usd[i], sums.computed[i])}</dd></div>`}
  </dl>`;
}

function Detail({ requestId, row }) {
  // A span that runs is asked for again when it has ended: its key is another one then.
  const resource = useResource(`${row.trace_id}-${row.span_id}:${row.status}`, (signal) => getSpan(requestId, row, signal));
  return html`<${Loaded} resource=${resource} lines=${8}>${(detail) => html`<${Sections} requestId=${requestId} row=${row} detail=${detail} />`}<//>`;
}

function Sections({ requestId, row, detail }) {
  const { span, input, output, metadata, attributes, events, links, resource, scope, media, flow } = detail;
  const whole = (of, key) => payloadPath(requestId, row, of, key);
  // A text that any step gives back is no conversation; what a model was sent, or has answered, is one.
  const messages = detail.input_messages.length || (span.model && detail.output_messages.length);
  const failure = span.error || span.status_message;
  return html`
    ${failure && html`<div class="error-box"><header><b>${row.status === "interrupted" ? "Interrupted" : "Error"}</b><span class="spring" /><${CopyButton} text=${failure} what="the error" /></header><${Text} text=${failure} /></div>`}
    ${messages > 0 && html`<${Section} title="Conversation" open><${Conversation} input=${detail.input_messages} output=${detail.output_messages} /><//>`}
    <${Flow} requestId=${requestId} flow=${flow} />
    ${present(input) && html`<${Section} title="Input" open=${!messages}><${Payload} payload=${input} path=${whole("input")} what="the input" /><//>`}
    ${present(output) && html`<${Section} title="Output" open=${!messages}><${Payload} payload=${output} path=${whole("output")} what="the output" /><//>`}
    ${media?.length > 0 && html`<${Section} title="Files" amount=${amountOf(media)} open><${Media} requestId=${requestId} row=${row} media=${media} /><//>`}
    ${present(metadata) && html`<${Section} title="Metadata"><${Payload} payload=${metadata} path=${whole("metadata")} what="the metadata" /><//>`}
    ${events?.length > 0 && html`<${Section} title="Events" amount=${events.length} open=${row.status !== "ok"}><${Events} events=${events} /><//>`}
    ${attributes?.length > 0 && html`<${Section} title="Attributes" amount=${attributes.length}>
      <dl class="attributes">${attributes.map(([key, payload]) => html`<${Attribute} key=${key} label=${key} payload=${payload} path=${whole("attribute", key)} />`)}</dl>
    <//>`}
    ${links?.length > 0 && html`<${Section} title="Links" amount=${links.length}><${Links} links=${links} /><//>`}
    <${Section} title="About"><${About} row=${row} span=${span} resource=${resource} scope=${scope} /><//>`;
}

const present = (payload) => Boolean(payload) && payload.size > 0;

const Links = ({ links }) => html`<dl class="attributes">
  ${links.map((it) => html`<div key=${`${it.trace_id}-${it.span_id}`}><dt>${it.trace_id}</dt><dd><a href=${requestPath(it.trace_id, { span: `${it.trace_id}-${it.span_id}` })}>${it.span_id}</a></dd></div>`)}
</dl>`;

function Section({ title, amount, open = false, children }) {
  return html`<details class="section" open=${open}><summary><${Icon} of="fold" />${title}${amount !== undefined && html`<span class="muted">${typeof amount === "number" ? count(amount) : amount}</span>`}</summary>${children}</details>`;
}

// Where a part of the input was made.
const Flow = ({ requestId, flow }) => flow?.length
  ? html`<ul class="flow" aria-label="Where the input comes from">
      ${flow.map((it) => html`<li key=${`${it.key}-${it.span_id}`}><${Icon} of="flow" /><code>${exact(it.key)}</code> comes from
        <a href=${requestPath(requestId, { span: `${it.trace_id}-${it.span_id}` })}>${name(it.name, 80)}</a></li>`)}
    </ul>`
  : null;

function Attribute({ label, payload, path }) {
  const short = payload.size <= 160 && !payload.text.includes("\n");
  return html`<div><dt title=${name(label)}>${exact(label)}</dt><dd>
    ${short ? html`<span>${exact(payload.text)}</span><${CopyButton} text=${payload.text} what=${`the value of ${name(label, 60)}`} />` : html`<${Payload} payload=${payload} path=${path} what=${name(label, 60)} />`}
  </dd></div>`;
}

function Events({ events }) {
  return html`<ol class="events">${events.map((event, i) => html`<li key=${i}>
    <header><b>${name(event.name, 120)}</b><span class="muted" title=${fullMoment(event.time)}>${moment(event.time)}</span></header>
    ${present(event.attributes) && html`<${EventAttributes} payload=${event.attributes} />`}
  </li>`)}</ol>`;
}

function EventAttributes({ payload }) {
  const found = objectOf(payload);
  if (!found) return html`<${Text} text=${payload.text} />`;
  return html`<dl class="attributes">
    ${Object.entries(found).map(([key, value]) => html`<div key=${key}><dt>${exact(key)}</dt><dd><${Text} text=${typeof value === "string" ? value : JSON.stringify(value)} limit=${600} /></dd></div>`)}
  </dl>`;
}

function objectOf({ text, cut }) {
  try {
    return cut ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

const Media = ({ requestId, row, media }) => html`<ul class="media">
  ${media.map((it, i) => it.missing === null ? html`<${File} key=${i} path=${mediaPath(requestId, row, it.sha256)} ...${it} />` : html`<${MissingFile} key=${i} ...${it} />`)}
</ul>`;

function File({ path, name: given, sha256, content_type: type, size: bytes }) {
  const called = name(given || sha256, 60);
  return html`<li>
    ${INLINE_IMAGES.has(type) && html`<img src=${path} alt=${called} loading="lazy" />`}
    <a href=${path} download title=${`SHA-256 ${sha256}`}><${Icon} of="down" />${called}</a><span class="muted">${name(type, 60)}, ${size(bytes)}</span>
  </li>`;
}

const MissingFile = ({ name: given, missing }) => html`<li class="warn"><span><${Icon} of="error" />${name(given, 60) || "a file"} is missing: ${name(missing)}</span></li>`;

// How many are there, and how many are not.
function amountOf(media) {
  const missing = media.filter((it) => it.missing !== null).length;
  return [media.length > missing && count(media.length - missing), missing > 0 && `${plural(missing, "file")} missing`].filter(Boolean).join(", ");
}

function About({ row, span, resource, scope }) {
  const facts = [
    ["node", span.node_name], ["type", span.node_type], ["context", span.context_id], ["order", span.execution_order], ["kind", span.kind],
    ["start", span.start_time], ["end", span.end_time], ["cost from", span.cost_source], ["user", span.user_id], ["trace", row.trace_id], ["span", row.span_id],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="attributes">
    ${facts.map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd><span>${exact(value)}</span>${["trace", "span"].includes(key) && html`<${CopyButton} text=${value} what=${`the ${key} id`} />`}</dd></div>`)}
    ${span.session_id && html`<div><dt>session</dt><dd><a href=${sessionPath(span.session_id)}>${name(span.session_id)}</a></dd></div>`}
    ${Object.entries({ ...scope, ...resource }).map(([key, value]) => html`<div key=${key}><dt>${exact(key)}</dt><dd><span>${exact(typeof value === "string" ? value : JSON.stringify(value))}</span></dd></div>`)}
  </dl>`;
}
