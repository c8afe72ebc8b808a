// Requests as rows: on the list, and on a session's page. Only the rows in sight are in the document.
import { html, useRef, useState } from "./dom.js";
import { useNow } from "./clock.js";
import { cost, count, duration, fullMoment, moment, name, piece, tokens } from "./format.js";
import { useKeys } from "./keys.js";
import { OutcomeIcon, RequestState, elapsed, outcome } from "./request_facts.js";
import { navigate, requestPath, sessionPath } from "./router.js";
import { reveal, useWindow } from "./virtual.js";

const ROW_PX = 36;
const NARROW_ROW_PX = 56;
/** What a line below the row takes: where the words stand that were searched for. */
const HIT_PX = 22;
/** Characters in front of these words, so that they themselves are in sight. */
const NARROW_LEAD = 14;
const HEAD_PX = 30;
const NEAR_END = 10;

const narrow = matchMedia("(max-width: 700px)");

const COLUMNS = [
  ["Request", "r-name"],
  ["Started", "r-start num"],
  ["Duration", "r-time num"],
  ["Spans", "r-spans num"],
  ["Errors", "r-errors num"],
  ["Tokens", "r-tokens num"],
  ["Cost", "r-cost num"],
  ["Model", "r-model"],
  ["User, session", "r-user"],
  ["Status", "r-state"],
];

/** `session`: all rows are of one, which is said above them. */
export function RequestTable({ rows, marked = [], onMark, onEnd, session = false }) {
  const box = useRef(null);
  const searched = rows.some((it) => "hit" in it);
  const rowPx = (narrow.matches ? NARROW_ROW_PX : ROW_PX) + (searched ? HIT_PX : 0);
  const headPx = narrow.matches ? 0 : HEAD_PX;
  const [at, setAt] = useState(null);
  // Ahead of what is drawn: keys come faster than frames when one of them is held down.
  const current = useRef(at);
  current.current = at;
  const [first, last] = useWindow(box, rows.length, rowPx);
  const now = useNow(rows.slice(first, last).some((it) => outcome(it) === "running"), 250);
  const longest = Math.max(1, ...rows.slice(first, last).map((it) => elapsed(it, now) ?? 0));
  useListKeys({ box, rows, rowPx, headPx, current, setAt, onMark });
  const css = ["table requests", searched && "searched", session && "of-session"].filter(Boolean).join(" ");
  const columns = session ? COLUMNS.filter(([, it]) => it !== "r-user") : COLUMNS;
  const onScroll = () => {
    const { scrollTop, clientHeight } = box.current;
    if (onEnd && scrollTop + clientHeight > (rows.length - NEAR_END) * rowPx) onEnd();
  };
  return html`<div class=${css} ref=${box} role="table" aria-label="Requests" aria-rowcount=${rows.length + 1} tabindex="0"
      style=${{ flexBasis: `${rows.length * rowPx + headPx + 2}px` }} onScroll=${onScroll}>
    <div class="thead" role="row">${columns.map(([label, of]) => html`<span role="columnheader" class=${of}>${label}</span>`)}${searched && html`<span role="columnheader" class="unseen">Found</span>`}</div>
    <div class="rows" role="rowgroup" style=${{ height: `${rows.length * rowPx}px` }}>
      ${rows.slice(first, last).map((request, i) => html`<${RequestRow} key=${request.request_id} request=${request} index=${first + i}
        top=${(first + i) * rowPx} now=${now} longest=${longest} session=${session} isAt=${request.request_id === at} isMarked=${marked.includes(request.request_id)} />`)}
    </div>
  </div>`;
}

function useListKeys({ box, rows, rowPx, headPx, current, setAt, onMark }) {
  const index = () => rows.findIndex((it) => it.request_id === current.current);
  const move = (step) => {
    if (!rows.length) return false;
    const next = index() < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, index() + step));
    current.current = rows[next].request_id;
    setAt(current.current);
    reveal(box.current, next, rowPx, headPx);
    return true;
  };
  const bindings = [
    { keys: ["j", "ArrowDown"], what: "Next request", run: () => move(1) },
    { keys: ["k", "ArrowUp"], what: "Previous request", run: () => move(-1) },
    { keys: ["Enter"], what: "Open it", run: () => index() >= 0 && navigate(requestPath(current.current)) },
  ];
  if (onMark) bindings.push({ keys: ["x"], what: "Mark it for comparing", run: () => index() >= 0 && onMark(current.current) });
  useKeys("List", bindings);
}

function RequestRow({ request, index, top, now, longest, session, isAt, isMarked }) {
  const path = requestPath(request.request_id);
  const took = elapsed(request, now);
  const open = (event) => event.target.closest("a") || navigate(path);
  const css = `row ${isAt ? "at" : ""} ${isMarked ? "marked" : ""} ${outcome(request)}`;
  return html`<div class=${css} role="row" aria-rowindex=${index + 2} style=${{ transform: `translateY(${top}px)` }} onClick=${open}>
    <span role="cell" class="r-name">
      <${OutcomeIcon} request=${request} />
      <a href=${path} title=${name(request.error_message || request.workflow_name)}>${name(request.workflow_name) || "(no name)"}</a>
      <code title=${name(request.request_id)}>${name(request.request_id, 80)}</code>
    </span>
    <span role="cell" class="r-start num" title=${fullMoment(request.start_time ?? request.created_at)}>${moment(request.start_time ?? request.created_at)}</span>
    <span role="cell" class="r-time num"><i class="mini" aria-hidden="true"><i style=${{ width: `${Math.max(1, ((took ?? 0) / longest) * 100)}%` }} /></i>${duration(took)}</span>
    <span role="cell" class="r-spans num">${count(request.node_count)}</span>
    <span role="cell" class=${`r-errors num ${request.error_count ? "bad" : "muted"}`}>${count(request.error_count)}</span>
    <span role="cell" class="r-tokens num">${tokens(request.prompt_tokens, request.completion_tokens, request.total_tokens)}</span>
    <span role="cell" class="r-cost num" title=${cost(request.cost_usd, request.computed_usd)}>${cost(request.cost_usd, request.computed_usd)}</span>
    <span role="cell" class="r-model" title=${name((request.models ?? []).join(", "))}>${name((request.models ?? []).join(", "), 60)}</span>
    ${!session && html`<span role="cell" class="r-user">${request.user_id && html`<span title=${name(request.user_id)}>${name(request.user_id, 40)}</span>`}${request.session_id && html`<a href=${sessionPath(request.session_id)} title=${name(request.session_id)}>${name(request.session_id, 40)}</a>`}</span>`}
    <span role="cell" class="r-state"><${RequestState} status=${request.status} /></span>
    ${"hit" in request && html`<span role="cell" class="r-hit">${request.hit && html`<${Hit} path=${path} ...${request.hit} />`}</span>`}
  </div>`;
}

// The name of the span, which it leads to, and the words among what stands around them.
function Hit({ path, trace_id, span_id, name: called, text, start, end }) {
  const letters = [...text]; // the server counts characters, of which some are two in a string here
  const [before, words, after] = [[0, start], [start, end], [end]].map((part) => piece(letters.slice(...part).join("")));
  const lead = narrow.matches && before.length > NARROW_LEAD ? `…${before.slice(-NARROW_LEAD)}` : before;
  return html`<a href=${`${path}?span=${trace_id}-${span_id}`} title=${name(called)}>${name(called, narrow.matches ? 18 : 30)}</a> ${lead}<mark>${words}</mark>${after}`;
}
