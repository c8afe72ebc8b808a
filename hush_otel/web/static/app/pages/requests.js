// The list of requests, newest first, live.
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { useResource } from "../data.js";
import { plural } from "../format.js";
import { useKeys } from "../keys.js";
import { remember } from "../neighbours.js";
import { RequestTable } from "../request_table.js";
import { address, navigate, setParams } from "../router.js";
import { Empty, Loaded } from "../states.js";
import { FILTERS, Filters, chosen } from "./filters.js";

const PAGE = 50;

export function RequestsPage({ params }) {
  const filters = chosen(params);
  const key = JSON.stringify(filters);
  const search = useRef(null);
  const first = useResource(key, (signal) => get("/api/requests", { ...filters, limit: PAGE }, signal), () => true);
  const older = useOlder(key, filters, first.data);
  const rows = useMemo(() => joined(first.data, older.rows), [first.data, older.rows]);
  useEffect(() => remember(rows.map((it) => it.request_id)), [rows]);
  const [marked, setMarked] = useState([]);
  const mark = (id) => setMarked((old) => (old.includes(id) ? old.filter((it) => it !== id) : [...old.slice(-1), id]));
  useKeys("Requests", [
    { keys: ["/"], what: "Search", run: () => search.current?.focus() },
    { keys: ["Escape"], what: "Clear the filters", run: () => setParams(Object.fromEntries(FILTERS.map((it) => [it, ""]))) },
  ]);
  return html`<div class="page fill">
    <div class="head"><h1>Requests</h1><${Filters} params=${params} searchRef=${search} /></div>
    <${Loaded} resource=${first} lines=${14}>
      ${() => rows.length
        ? html`<${RequestTable} rows=${rows} marked=${marked} onMark=${mark} onEnd=${older.more} />
            <${Foot} rows=${rows} more=${older.next} marked=${marked} />`
        : html`<${Nothing} filtered=${Object.keys(filters).length > 0} />`}
    <//>
  </div>`;
}

// The first page is renewed when something changes; what lies behind it is loaded once, when somebody scrolls there.
function useOlder(key, filters, first) {
  const [state, setState] = useState({ key, rows: [], next: undefined });
  const busy = useRef(false);
  const mine = state.key === key ? state : { key, rows: [], next: undefined };
  const next = mine.next === undefined ? first?.next : mine.next;
  const more = async () => {
    if (!next || busy.current) return;
    busy.current = true;
    try {
      const page = await get("/api/requests", { ...filters, limit: PAGE, before: next });
      setState((old) => ({ key, rows: [...(old.key === key ? old.rows : []), ...page.requests], next: page.next }));
    } catch {
      // The connection's state shows why; the next scroll asks again.
    } finally {
      busy.current = false;
    }
  };
  return { rows: mine.rows, next, more };
}

// New requests push others off the first page, before the second one was loaded or after: each is shown once.
function joined(first, older) {
  const newest = first?.requests ?? [];
  const seen = new Set(newest.map((it) => it.request_id));
  return [...newest, ...older.filter((it) => !seen.has(it.request_id))];
}

const Foot = ({ rows, more, marked }) => html`<div class="foot">
  <span>${plural(rows.length, "request")}${more ? ", older ones below" : ""}</span>
  <span class="spring" />
  ${marked.length === 2
    ? html`<button class="primary" onClick=${() => navigate(address("/compare", { a: marked[1], b: marked[0] }))}>Compare the two</button>`
    : html`<span class="muted wide-only">${marked.length ? "x on another one to compare" : html`<kbd>x</kbd> marks for comparing`}</span>`}
</div>`;

const Nothing = ({ filtered }) => filtered
  ? html`<${Empty} title="No request matches"><p>Take a filter away, or <a href="/">show all</a>.</p><//>`
  : html`<${Empty} title="Nothing has been recorded yet">
      <p>Requests appear here while they run. One line in your application:</p>
      <pre>provider.add_span_processor(HushSpanProcessor())</pre>
      <p>or, to see something at once: <code>hush-otel demo --ui</code></p>
    <//>`;

