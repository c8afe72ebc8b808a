// The tree and its times in one table: a row has its name on the left and its bar on the right.
import { html, useLayoutEffect, useRef, useState } from "./dom.js";
import { ticks, tickLabel } from "./axis.js";
import { cost, count, duration, name, plural, tokens } from "./format.js";
import { Icon, StatusIcon, TypeIcon, typeOf } from "./icons.js";
import { failedBelow, hasChildren, isFolded, keyOf, rowOf, spansBelow } from "./tree_model.js";
import { useWindow } from "./virtual.js";

export const ROW_PX = 28;
export const HEAD_PX = 30;
/** As .span-bar has it. */
const LEAST_PX = 2;
const INDENT_PX = 14;
const MAX_INDENTS = 12;
const DRAG_PX = 4;

/**
 * `shown` are the rows not hidden by folding; `view` is the time in sight, `[from, to]` in ms from the origin;
 * `box` the ref of the element that scrolls.
 */
export function Waterfall({ tree, shown, folding, selected, critical, view, now, box, onSelect, onFold, onZoom }) {
  const [first, last] = useWindow(box, shown.length, ROW_PX);
  const [width, axisRef] = useWidth();
  const marks = ticks(view[0], view[1], width);
  const active = selected >= 0 ? `span-${keyOf(tree, selected)}` : undefined;
  return html`<div class=${`table waterfall ${critical ? "critical-only" : ""}`} ref=${box} role="treegrid" aria-label="Spans" tabindex="0"
      aria-rowcount=${shown.length + 1} aria-activedescendant=${active}>
    <div class="thead" role="row">
      <span role="columnheader" class="w-name">Span</span>
      <span role="columnheader" class="w-time num">Duration</span>
      <span role="columnheader" class="w-tokens num">Tokens</span>
      <span role="columnheader" class="w-cost num">Cost</span>
      <${Axis} axisRef=${axisRef} marks=${marks} view=${view} onZoom=${onZoom} />
    </div>
    <div class="rows" role="rowgroup" style=${{ height: `${shown.length * ROW_PX}px` }}>
      <div class="grid" role="presentation"><div>${marks.map(({ ms, at }) => html`<i key=${ms} style=${{ left: `${at * 100}%` }} />`)}</div></div>
      ${shown.slice(first, last).map((i, at) => html`<${SpanRow} key=${keyOf(tree, i)} tree=${tree} i=${i} at=${first + at}
        isFolded=${isFolded(tree, folding, i)} isSelected=${i === selected} view=${view} now=${now} onSelect=${onSelect} onFold=${onFold} />`)}
    </div>
  </div>`;
}

function useWidth() {
  const ref = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const sizes = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    sizes.observe(ref.current);
    return () => sizes.disconnect();
  }, []);
  return [width, ref];
}

// Dragging over the axis zooms into what was dragged over; the keys z and 0 do without a mouse.
function Axis({ axisRef, marks, view, onZoom }) {
  const [drag, setDrag] = useState(null);
  const span = view[1] - view[0];
  const share = (event) => {
    const { left, width } = axisRef.current.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width));
  };
  const onPointerDown = (event) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    setDrag([share(event), share(event)]);
  };
  const onPointerMove = (event) => drag && setDrag([drag[0], share(event)]);
  const onPointerUp = () => {
    if (!drag) return;
    const [from, to] = [...drag].sort((a, b) => a - b);
    setDrag(null);
    if ((to - from) * axisRef.current.clientWidth > DRAG_PX) onZoom([view[0] + from * span, view[0] + to * span]);
  };
  const end = () => setDrag(null);
  return html`<span role="columnheader" class="w-axis" aria-label="Time" title="Drag to zoom; 0 shows all">
    <span ref=${axisRef} class="axis" onPointerDown=${onPointerDown} onPointerMove=${onPointerMove} onPointerUp=${onPointerUp} onPointerCancel=${end}>
      ${marks.map(({ ms, at }) => html`<span key=${ms} class=${at > 0.93 ? "tick last" : "tick"} style=${{ left: `${at * 100}%` }}>${tickLabel(ms, span)}</span>`)}
      ${drag && html`<i class="dragged" style=${{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }} />`}
    </span>
  </span>`;
}

function SpanRow({ tree, i, at, isFolded: folded, isSelected, view, now, onSelect, onFold }) {
  const row = rowOf(tree, i);
  const type = typeOf(row);
  const parent = hasChildren(tree, i);
  const took = row.duration_ms ?? (row.status === "running" ? Math.max(0, now - tree.originMs - row.start_ms) : null);
  const css = `row ${row.status} ${isSelected ? "at" : ""} ${row.critical ? "on-path" : ""}`;
  return html`<div class=${css} id=${`span-${keyOf(tree, i)}`} role="row" aria-rowindex=${at + 2} aria-level=${row.depth + 1}
      aria-expanded=${parent ? String(!folded) : undefined} aria-selected=${String(isSelected)}
      style=${{ transform: `translateY(${at * ROW_PX}px)` }} onClick=${() => onSelect(i)}>
    <span role="gridcell" class="w-name" title=${fullName(row)}>
      <i class="indent" style=${{ width: `${Math.min(row.depth, MAX_INDENTS) * INDENT_PX}px` }} aria-hidden="true" />
      ${row.depth > MAX_INDENTS && html`<small class="deep" title=${`depth ${row.depth}`}>${row.depth}</small>`}
      <${Fold} parent=${parent} folded=${folded} called=${row.name} onClick=${() => onFold(i)} />
      <${TypeIcon} type=${type} label=${type} />
      ${row.status === "ok" ? html`<span class="unseen">ok</span>` : html`<${StatusIcon} status=${row.status} />`}
      <span class="label">${name(row.name) || "(no name)"}</span>
      ${row.model && !String(row.name).includes(row.model) && html`<span class="aside">${name(row.model, 60)}</span>`}
      ${folded && html`<${Hidden} tree=${tree} i=${i} />`}
      ${row.error && html`<span class="aside bad">${name(row.error, 160)}</span>`}
      ${row.notes && html`<span class="aside">${name(row.notes)}</span>`}
    </span>
    <span role="gridcell" class="w-time num">${duration(took)}</span>
    <${Sums} tree=${tree} i=${i} parent=${parent} row=${row} />
    <span role="gridcell" class="w-axis"><${Bar} row=${row} type=${type} took=${took} view=${view} /></span>
  </div>`;
}

const fullName = (row) => [name(row.name), row.node_name !== row.name && name(row.node_name), row.context_id && name(row.context_id), name(row.error)].filter(Boolean).join("\n");

const Fold = ({ parent, folded, called, onClick }) => parent
  ? html`<button class=${folded ? "fold" : "fold open"} tabindex="-1" aria-label=${`${folded ? "Unfold" : "Fold"} ${name(called, 60)}`}
      onClick=${(event) => (event.stopPropagation(), onClick())}><${Icon} of="fold" /></button>`
  : html`<i class="fold" aria-hidden="true" />`;

function Hidden({ tree, i }) {
  const failed = failedBelow(tree, i);
  return html`<span class="hidden">${plural(spansBelow(tree, i), "span")}${failed > 0 && html`, <b class="bad">${count(failed)} failed</b>`}</span>`;
}

// A parent without numbers of its own shows, more quietly, what everything below it sums up to.
function Sums({ tree, i, parent, row }) {
  const own = row.total_tokens !== null || row.prompt_tokens !== null;
  const shown = (key) => tree.sums[key][i];
  const css = own || !parent ? "" : "rolled";
  const why = parent ? "with everything below" : undefined;
  return html`<span role="gridcell" class=${`w-tokens num ${css}`} title=${why}>${tokens(shown("prompt_tokens"), shown("completion_tokens"), shown("total_tokens"))}</span>
    <span role="gridcell" class=${`w-cost num ${row.cost_usd === null && parent ? "rolled" : ""}`} title=${why}>${cost(shown("cost_usd"), tree.sums.computed[i])}</span>`;
}

function Bar({ row, type, took, view }) {
  const span = view[1] - view[0];
  const from = (row.start_ms - view[0]) / span;
  const width = (took ?? 0) / span;
  if (row.synthetic === 2 || from > 1 || from + width < 0) return null;
  // What begins before the view and ends after it is cut here: an element of a million pixels is none for a browser.
  const left = Math.max(-0.02, from);
  const right = Math.min(1.02, from + width);
  // The least that a bar is wide fits at the end of the axis, too.
  return html`<i class=${`span-bar type-${type} ${row.status}`} style=${{ left: `min(${left * 100}%, 100% - ${LEAST_PX}px)`, width: `${(right - left) * 100}%` }} />`;
}
