// The head of a request's page: what it was, how it went, what it cost, where it was sent.
import { html, useEffect, useState } from "./dom.js";
import { get } from "./api.js";
import { CopyButton } from "./copy.js";
import { cost, count, duration, fullMoment, moment, name, plural, tagList, tokens } from "./format.js";
import { Icon } from "./icons.js";
import { OutcomeIcon, elapsed } from "./request_facts.js";
import { address, sessionPath } from "./router.js";
import { causes, rowOf } from "./tree_model.js";

const SHOWN_CAUSES = 3;

export function RequestHead({ request, deliveries, now, onStep }) {
  const id = request.request_id;
  return html`<div class="request-head">
    <div class="title">
      <${OutcomeIcon} request=${request} />
      <h1>${name(request.workflow_name) || "(no name)"}</h1>
      <code title=${name(id)}>${name(id)}</code>
      <${CopyButton} text=${id} what="the request id" />
      <span class="spring" />
      <${CompareWith} request=${request} />
      <${Share} id=${id} />
      <button class="quiet" onClick=${() => onStep(-1)} title="Newer request ([)" aria-label="Newer request"><${Icon} of="left" /></button>
      <button class="quiet" onClick=${() => onStep(1)} title="Older request (])" aria-label="Older request"><${Icon} of="right" /></button>
    </div>
    <dl class="facts">
      <${Fact} label="Started"><span title=${fullMoment(request.start_time ?? request.created_at)}>${moment(request.start_time ?? request.created_at)}</span><//>
      <${Fact} label="Duration"><span class="strong">${duration(elapsed(request, now))}</span><//>
      <${Fact} label="Spans">${count(request.node_count)}<//>
      <${Fact} label="Errors"><span class=${request.error_count ? "bad" : ""}>${count(request.error_count)}</span><//>
      <${Fact} label="Tokens">${tokens(request.prompt_tokens, request.completion_tokens, request.total_tokens)}<//>
      <${Fact} label="Cost" title=${request.computed_usd ? "~ says that a price table has computed it, at least in part" : ""}>${cost(request.cost_usd, request.computed_usd)}<//>
      <${Fact} label="User">${name(request.user_id, 60)}<//>
      <${Fact} label="Session">${request.session_id && html`<a href=${sessionPath(request.session_id)}>${name(request.session_id, 60)}</a>`}<//>
      <${Fact} label="Tags">${tagList(request.tags).map((tag) => html`<a class="tag" href=${address("/", { tag })}>${name(tag, 40)}</a> `)}<//>
      <${Fact} label="Sent to">${(deliveries ?? []).map((it) => html`<${DeliveryChip} key=${it.id} ...${it} />`)}<//>
    </dl>
  </div>`;
}

// A fact that is not there takes no room.
function Fact({ label, title, children }) {
  const shown = Array.isArray(children) ? children.length > 0 : children !== null && children !== undefined && children !== "";
  return shown ? html`<div title=${title}><dt>${label}</dt><dd>${children}</dd></div>` : null;
}

const SHAPES = { delivered: "ok", dead: "error", paused: "paused" };

const DeliveryChip = ({ destination, state, attempts, last_error: error }) => html`<a class=${`state state-${SHAPES[state] ?? "waiting"}`}
  href=${address("/deliveries", { destination })} title=${[state, plural(attempts ?? 0, "attempt"), name(error ?? "")].filter(Boolean).join(" · ")}>
  <${Icon} of=${SHAPES[state] ?? "waiting"} />${name(destination, 30)} ${state !== "delivered" && state}
</a> `;

// The requests before this one of the same workflow: one of them is what it is compared with, nearly always.
function CompareWith({ request }) {
  const [others, setOthers] = useState(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return undefined;
    const abort = new AbortController();
    const params = { workflow: request.workflow_name, limit: 12 };
    get("/api/requests", params, abort.signal).then(
      (answer) => setOthers(answer.requests.filter((it) => it.request_id !== request.request_id)),
      () => setOthers([]),
    );
    return () => abort.abort();
  }, [open]);
  return html`<details class="menu" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><${Icon} of="compare" />Compare</summary>
    <div class="menu-list">
      ${others === null ? html`<span class="muted">…</span>` : others.length === 0 ? html`<span class="muted">No other request of this workflow.</span>` : null}
      ${(others ?? []).map((it) => html`<a key=${it.request_id} href=${address("/compare", { a: it.request_id, b: request.request_id })}>
        <${OutcomeIcon} request=${it} /><code>${name(it.request_id, 40)}</code><span class="num">${moment(it.start_time)}</span><span class="num">${duration(it.duration_ms)}</span>
      </a>`)}
    </div>
  </details>`;
}

const FORMS = { html: ["HTML", "one file, for people"], markdown: ["Markdown", "for a model or an issue"], json: ["JSON", "for programs"] };

// Asked for when it opens, so that what keeps it from being given away is said here and not by a download that fails.
function Share({ id }) {
  const [open, setOpen] = useState(false);
  const [answer, setAnswer] = useState(null);
  const path = `/api/requests/${encodeURIComponent(id)}/share`;
  useEffect(() => {
    if (!open) return undefined;
    const abort = new AbortController();
    setAnswer(null);
    get(path, {}, abort.signal).then(setAnswer, (error) => error.name !== "AbortError" && setAnswer({ error }));
    return () => abort.abort();
  }, [open, path]);
  return html`<details class="menu share" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary aria-label="Share this request" title="Share this request: a redacted file"><${Icon} of="down" /><span>Share</span></summary>
    <div class="menu-list">
      ${answer?.error
        ? html`<p class="bad" role="alert">${answer.error.message}</p>${answer.error.hint && html`<p class="muted">${answer.error.hint}</p>`}`
        : html`<p class="muted">Hidden: what your rules of [redaction] and the ready ones find. Not in it: where it was sent, attached files.</p>`}
      ${(answer?.forms ?? []).filter((form) => Object.hasOwn(FORMS, form)).map((form) => html`<a key=${form} href=${`${path}/${form}`} download>
        <${Icon} of="down" /><b>${FORMS[form][0]}</b><span class="muted">${FORMS[form][1]}</span>
      </a>`)}
    </div>
  </details>`;
}

/** Errors first: where failures began, each a way to its span. */
export function Causes({ tree, onSelect }) {
  const failed = tree.failedBefore[tree.size];
  if (!failed) return null;
  const found = causes(tree, SHOWN_CAUSES + 1);
  return html`<ul class="causes" aria-label="Errors">
    ${found.slice(0, SHOWN_CAUSES).map((i) => html`<li key=${i}><button onClick=${() => onSelect(i)}>
      <${Icon} of=${rowOf(tree, i).status === "interrupted" ? "interrupted" : "error"} className="status-error" /><b>${name(tree.column.name[i], 80)}</b>
      <span>${name(tree.column.error[i], 240) || tree.column.status[i]}</span>
    </button></li>`)}
    ${found.length > SHOWN_CAUSES && html`<li class="muted">and more: <kbd>e</kbd> goes through all ${count(failed)}</li>`}
  </ul>`;
}

