// One request: its head, its spans, and what the chosen span holds.
import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { useNow } from "../clock.js";
import { copy } from "../copy.js";
import { useResource } from "../data.js";
import { plural } from "../format.js";
import { Icon } from "../icons.js";
import { useKeys } from "../keys.js";
import { neighbour } from "../neighbours.js";
import { SpanPanel } from "../panel.js";
import { Causes, RequestHead } from "../request_head.js";
import { outcome } from "../request_facts.js";
import { navigate, requestPath, setParams } from "../router.js";
import { Empty, Loaded } from "../states.js";
import { decode, hasChildren, indexOf, isFolded, keyOf, nextFailed, nextMatch, opened, shownRows } from "../tree_model.js";
import { reveal } from "../virtual.js";
import { HEAD_PX, ROW_PX, Waterfall } from "../waterfall.js";

const FRAME_MS = 100;

export function RequestPage({ id, params }) {
  const [realId, setRealId] = useState(id);
  const concerns = (ids) => ids.has(realId);
  const path = `/api/requests/${encodeURIComponent(id)}`;
  const about = useResource(`${id}:about`, async (signal) => {
    const answer = await get(path, {}, signal);
    setRealId(answer.request.request_id);
    return answer;
  }, concerns);
  const spans = useResource(`${id}:tree`, async (signal) => decode(await get(`${path}/tree`, {}, signal)));
  useFollowing(about.data?.request, spans);
  const now = useNow(Boolean(spans.data?.running || (about.data && outcome(about.data.request) === "running")), FRAME_MS);
  const step = async (by) => {
    const next = await neighbour(realId, by).catch(() => null);
    if (next) navigate(requestPath(next));
  };
  useKeys("Request", [
    { keys: ["["], what: "Newer request", run: () => void step(-1) },
    { keys: ["]"], what: "Older request", run: () => void step(1) },
    { keys: ["c"], what: "Copy its id", run: () => void copy(realId) },
    { keys: ["Escape"], what: "Back to the list", run: () => navigate("/") },
  ]);
  return html`<div class="page fill">
    <${Loaded} resource=${about} lines=${12}>
      ${(data) => html`<${RequestHead} request=${data.request} deliveries=${data.deliveries} now=${now} onStep=${step} />
        <${Loaded} resource=${spans} lines=${10}>
          ${(tree) => tree.size ? html`<${Spans} tree=${tree} requestId=${realId} selectedKey=${params.get("span")} now=${now} />` : html`<${Empty} title="No span of it has come yet" />`}
        <//>`}
    <//>
  </div>`;
}

// The spans are loaded again when the request says that it has others: that costs a row, they may be 50,000.
function useFollowing(request, spans) {
  const seen = useRef(null);
  const now = request && [request.max_seq, request.node_count, request.running_count].join();
  useEffect(() => {
    if (!now || !spans.data || seen.current === now) return;
    const same = seen.current === null && spans.data.maxSeq === request.max_seq;
    seen.current = now;
    if (!same) spans.reload();
  }, [now, spans.data]);
}

function Spans({ tree, requestId, selectedKey, now }) {
  const box = useRef(null);
  const [folding, setFolding] = useState({ all: null, toggled: new Map() });
  const [critical, setCritical] = useState(false);
  const [zoom, setZoom] = useState(null);
  const find = useRef(null);
  const shown = useMemo(() => shownRows(tree, folding), [tree, folding]);
  const selected = useMemo(() => indexOf(tree, selectedKey), [tree, selectedKey]);
  // Ahead of what is drawn: keys come faster than frames when one of them is held down.
  const current = useRef(selected);
  current.current = selected;
  const whole = [0, Math.max(tree.lastMs, tree.running ? now - tree.originMs : 0, 0.001)];
  const select = useCallback((i) => {
    current.current = i;
    const next = opened(tree, folding, i);
    const rows = shownRows(tree, next);
    if (rows.length !== shown.length) setFolding(next);
    setParams({ span: keyOf(tree, i) }, { replace: true });
    reveal(box.current, rows.indexOf(i), ROW_PX, HEAD_PX);
  }, [tree, folding, shown]);
  const fold = (i, to = !isFolded(tree, folding, i)) => setFolding({ ...folding, toggled: new Map(folding.toggled).set(keyOf(tree, i), to) });
  const foldAll = (all) => setFolding({ all, toggled: new Map() });
  const close = () => setParams({ span: "" }, { replace: true });
  const search = (text) => {
    const i = text ? nextMatch(tree, text, selected) : -1;
    if (i >= 0) select(i);
    return i >= 0;
  };
  useLayoutEffect(() => {
    if (selected >= 0) select(selected); // the row that a link names
  }, []);
  useSpanKeys({ tree, shown, selected, current, folding, select, fold, close, setCritical, setZoom, find });
  return html`<${Causes} tree=${tree} onSelect=${select} />
    <${Toolbar} tree=${tree} critical=${critical} setCritical=${setCritical} foldAll=${foldAll} zoom=${zoom} setZoom=${setZoom}
      onError=${() => select(nextFailed(tree, selected))} search=${search} findRef=${find} />
    <div class=${selected >= 0 ? "split open" : "split"}>
      <${Waterfall} tree=${tree} shown=${shown} folding=${folding} selected=${selected} critical=${critical} view=${zoom ?? whole} now=${now}
        box=${box} onSelect=${select} onFold=${fold} onZoom=${setZoom} />
      ${selected >= 0 && html`<${SpanPanel} key=${selectedKey} requestId=${requestId} tree=${tree} i=${selected} now=${now} onClose=${close} />`}
    </div>`;
}

function useSpanKeys({ tree, shown, selected, current, folding, select, fold, close, setCritical, setZoom, find }) {
  const move = (step) => {
    const at = shown.indexOf(current.current);
    select(shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + step))]);
  };
  const left = () => {
    if (selected < 0) return false;
    if (hasChildren(tree, selected) && !isFolded(tree, folding, selected)) fold(selected, true);
    else if (tree.column.parent[selected] >= 0) select(tree.column.parent[selected]);
    return true;
  };
  const zoomIn = () => {
    if (selected < 0) return false;
    const start = tree.column.start_ms[selected];
    const took = tree.column.duration_ms[selected] ?? 0;
    if (took > 0) setZoom([start - took * 0.05, start + took * 1.05]);
    return true;
  };
  useKeys("Spans", [
    { keys: ["j", "ArrowDown"], what: "Next span", run: () => move(1) },
    { keys: ["k", "ArrowUp"], what: "Previous span", run: () => move(-1) },
    { keys: ["PageDown"], run: () => move(20) },
    { keys: ["PageUp"], run: () => move(-20) },
    { keys: ["ArrowRight", "l"], what: "Unfold", run: () => selected >= 0 && fold(selected, false) },
    { keys: ["ArrowLeft", "h"], what: "Fold, then to its parent", run: left },
    { keys: ["e"], what: "Next error", run: () => { const i = nextFailed(tree, current.current); return i >= 0 && select(i); } },
    { keys: ["/", "f"], what: "Find a span", run: () => find.current?.focus() },
    { keys: ["p"], what: "Critical path", run: () => setCritical((old) => !old) },
    { keys: ["z"], what: "Zoom into the span", run: zoomIn },
    { keys: ["0"], what: "Show all the time", run: () => setZoom(null) },
    { keys: ["Escape"], what: "Close the span", run: () => (selected >= 0 ? close() : false) },
  ]);
}

function Toolbar({ tree, critical, setCritical, foldAll, zoom, setZoom, onError, search, findRef }) {
  const [text, setText] = useState("");
  const [missed, setMissed] = useState(false);
  const failed = tree.failedBefore[tree.size];
  const onKeyDown = (event) => {
    if (event.key === "Enter") setMissed(!search(text));
    if (event.key === "Escape") event.target.blur();
  };
  return html`<div class="toolbar" role="toolbar" aria-label="Spans">
    <span class="muted">${plural(tree.size, "row")}</span>
    <input ref=${findRef} class=${missed ? "missed" : ""} type="search" placeholder="Find a span" aria-label="Find a span by name, model or error; Enter goes to the next"
      value=${text} onInput=${(event) => (setText(event.target.value), setMissed(false))} onKeyDown=${onKeyDown} autocomplete="off" spellcheck=${false} />
    ${missed && html`<span class="bad" role="status">none</span>`}
    <span class="spring" />
    ${failed > 0 && html`<button class="danger" onClick=${onError} title="Next error (e)"><${Icon} of="error" />Next error<span class="badge">${failed}</span></button>`}
    <button aria-pressed=${String(critical)} onClick=${() => setCritical(!critical)} title="Only what the whole has waited for (p)">Critical path</button>
    <button onClick=${() => foldAll(true)}>Fold all</button>
    <button onClick=${() => foldAll(false)}>Unfold all</button>
    ${zoom && html`<button class="primary" onClick=${() => setZoom(null)} title="Show all the time (0)">Reset zoom</button>`}
  </div>`;
}
