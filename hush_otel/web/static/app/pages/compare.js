// Two requests side by side, step by step. A step opens to what differs in it; which one is open stands in the URL.
import { html, useState } from "../dom.js";
import { get } from "../api.js";
import { StepDetails, hasDetails } from "../compare_step.js";
import { useResource } from "../data.js";
import { cost, count, duration, moment, name, tokens } from "../format.js";
import { Icon, StatusIcon } from "../icons.js";
import { useKeys } from "../keys.js";
import { OutcomeIcon } from "../request_facts.js";
import { address, navigate, requestPath, setParams } from "../router.js";
import { Empty, Loaded } from "../states.js";

const INDENT_PX = 14;
const WORTH_SAYING = 0.1;
const STEPS = 500;
const COLUMNS = 12;

export function ComparePage({ params }) {
  const [a, b] = [params.get("a"), params.get("b")];
  const resource = useResource(`${a}:${b}`, (signal) => (a && b ? get("/api/compare", { a, b }, signal) : Promise.resolve({ rows: null })));
  return html`<div class="page">
    <div class="head"><h1>Compare</h1></div>
    <${Loaded} resource=${resource}>${(data) => data.rows ? html`<${Both} ...${data} opened=${params.get("step")} />` : html`<${Choose} />`}<//>
  </div>`;
}

const Choose = () => html`<${Empty} title="Which two?"><p>Mark two requests in the <a href="/">list</a> with <kbd>x</kbd>, or use Compare on a request's page.</p><//>`;

const open = (key) => setParams({ step: key }, { replace: true });

function Both({ a, b, rows, opened }) {
  const [limit, setLimit] = useState(STEPS);
  const changed = rows.filter((row) => row.in !== "both" || row.output_differs || row.a?.status !== row.b?.status).length;
  useKeys("Compare", [{ keys: ["Escape"], what: "Close the step", run: () => (opened ? open("") : false) }]);
  return html`<div class="sides">
      <${Side} label="A" request=${a} /><span />
      <${Side} label="B" request=${b} other=${a} /><button class="quiet" onClick=${() => navigate(address("/compare", { a: b.request_id, b: a.request_id }))}>Swap</button>
    </div>
    <p class="muted">${count(rows.length)} nodes, ${changed ? `${count(changed)} of them with another outcome` : "all with the same outcome"}. The difference is B against A.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Nodes side by side"><table class="compare" role="table">
      <${Head} />
      <tbody role="rowgroup">${rows.slice(0, limit).map((row) => html`<${Step} key=${row.key} row=${row} a=${a.request_id} b=${b.request_id} isOpen=${row.key === opened} />`)}</tbody>
    </table></div>
    ${rows.length > limit && html`<p><button onClick=${() => setLimit(limit + STEPS)}>${count(rows.length - limit)} more nodes</button></p>`}`;
}

// Roles are said, for on a phone the parts of the table are no table to CSS.
const Head = () => html`<thead role="rowgroup">
  <tr role="row"><th role="columnheader" rowspan="2">Node</th>${["Duration", "Tokens", "Cost"].map((it) => html`<th role="columnheader" colspan="3" class="num">${it}</th>`)}<th role="columnheader" rowspan="2">Input</th><th role="columnheader" rowspan="2">Output</th></tr>
  <tr role="row">${[1, 2, 3].map(() => html`<th role="columnheader" class="num">A</th><th role="columnheader" class="num">B</th><th role="columnheader" class="num">Δ</th>`)}</tr>
</thead>`;

const Side = ({ label, request, other }) => html`<section class="side" aria-label=${`Request ${label}`}>
  <b class="letter">${label}</b><${OutcomeIcon} request=${request} />
  <a href=${requestPath(request.request_id)}>${name(request.workflow_name, 60) || "(no name)"}</a><code>${name(request.request_id, 60)}</code>
  <span>${moment(request.start_time)}</span><span class="strong">${duration(request.duration_ms)}</span>
  ${other && html`<${Delta} a=${other.duration_ms} b=${request.duration_ms} />`}
  <span>${count(request.total_tokens)} tokens</span>${other && html`<${Delta} a=${other.total_tokens} b=${request.total_tokens} />`}
  <span>${cost(request.cost_usd, request.computed_usd)}</span>${other && html`<${Delta} a=${other.cost_usd} b=${request.cost_usd} />`}
</section>`;

function Step({ row, a, b, isOpen }) {
  const link = (side, request) => side?.span_id ? requestPath(request, { span: `${side.trace_id}-${side.span_id}` }) : requestPath(request);
  const details = hasDetails(row);
  const toggle = () => open(isOpen ? "" : row.key);
  return html`<tr role="row" class=${`step only-${row.in}`}>
    <th role="rowheader" scope="row" style=${{ "--indent": `${Math.min(row.depth, 12) * INDENT_PX}px` }}>
      ${details
        ? html`<button class=${isOpen ? "fold open" : "fold"} aria-expanded=${String(isOpen)} aria-label=${`What differs in ${name(row.name, 60)}`} onClick=${toggle}><${Icon} of="fold" /></button>`
        : html`<span class="fold" />`}
      ${row.a && html`<${StatusIcon} status=${row.a.status} />`}${row.b && row.a?.status !== row.b.status && html`<${StatusIcon} status=${row.b.status} />`}
      <a href=${row.b ? link(row.b, b) : link(row.a, a)} title=${name(row.key)}>${name(row.name, 80)}</a>
      ${row.in !== "both" && html`<span class="tag">only in ${row.in.toUpperCase()}</span>`}
    </th>
    <${Figures} what="Duration" a=${row.a?.duration_ms} b=${row.b?.duration_ms} shown=${[row.a, row.b].map((it) => it ? duration(it.duration_ms) : "")} />
    <${Figures} what="Tokens" a=${row.a?.total_tokens} b=${row.b?.total_tokens} shown=${[row.a, row.b].map((it) => count(it?.total_tokens))}
      titles=${[row.a, row.b].map((it) => it && tokens(it.prompt_tokens, it.completion_tokens, it.total_tokens))} />
    <${Figures} what="Cost" a=${row.a?.cost_usd} b=${row.b?.cost_usd} shown=${[row.a, row.b].map((it) => cost(it?.cost_usd, it?.cost_source))} />
    <${Same} what="Input" row=${row} differs=${row.input_differs} toggle=${toggle} /><${Same} what="Output" row=${row} differs=${row.output_differs} toggle=${toggle} />
  </tr>${isOpen && details && html`<tr role="row" class="opened"><td role="cell" colspan=${COLUMNS}><${StepDetails} row=${row} a=${a} b=${b} /></td></tr>`}`;
}

// Where neither side has the figure, a phone leaves its line out; so it does where a text is the same.
function Figures({ what, a, b, shown, titles = [] }) {
  const css = shown[0] || shown[1] ? "num" : "num none";
  return html`<td role="cell" class=${css} data-what=${what} title=${titles[0]}>${shown[0]}</td><td role="cell" class=${css} title=${titles[1]}>${shown[1]}</td>
    <td role="cell" class=${css}><${Delta} a=${a} b=${b} /></td>`;
}

const Same = ({ what, row, differs, toggle }) => html`<td role="cell" class=${differs ? "same" : "same none"} data-what=${what}>${row.in !== "both" ? "" : differs
  ? html`<button class="quiet differs" aria-label=${`${what} of ${name(row.name, 60)} differs`} onClick=${toggle}><${Icon} of="compare" />differs</button>`
  : html`<span class="muted">same</span>`}</td>`;

// Below a tenth it is noise.
function Delta({ a, b }) {
  if (!(a > 0) || typeof b !== "number") return "";
  const share = (b - a) / a;
  if (Math.abs(share) < WORTH_SAYING) return html`<span class="muted">≈</span>`;
  const words = b > a * 10 ? `×${Math.round(b / a)}` : `${share > 0 ? "+" : "−"}${Math.round(Math.abs(share) * 100)} %`;
  return html`<span class=${share > 0 ? "slower" : "faster"}>${words}</span>`;
}
