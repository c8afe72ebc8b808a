// Two requests side by side, node by node.
import { html } from "../dom.js";
import { get } from "../api.js";
import { useResource } from "../data.js";
import { cost, count, duration, moment, name } from "../format.js";
import { Icon, StatusIcon } from "../icons.js";
import { OutcomeIcon } from "../request_facts.js";
import { address, navigate, requestPath } from "../router.js";
import { Empty, Loaded } from "../states.js";

const INDENT_PX = 14;
const WORTH_SAYING = 0.1;

export function ComparePage({ params }) {
  const [a, b] = [params.get("a"), params.get("b")];
  const resource = useResource(`${a}:${b}`, (signal) => (a && b ? get("/api/compare", { a, b }, signal) : Promise.resolve({ rows: null })));
  return html`<div class="page">
    <div class="head"><h1>Compare</h1></div>
    <${Loaded} resource=${resource}>${(data) => data.rows ? html`<${Both} ...${data} />` : html`<${Choose} />`}<//>
  </div>`;
}

const Choose = () => html`<${Empty} title="Which two?"><p>Mark two requests in the <a href="/">list</a> with <kbd>x</kbd>, or use Compare on a request's page.</p><//>`;

function Both({ a, b, rows }) {
  const changed = rows.filter((row) => row.in !== "both" || row.output_differs || row.a?.status !== row.b?.status).length;
  return html`<div class="sides">
      <${Side} label="A" request=${a} /><span />
      <${Side} label="B" request=${b} other=${a} /><button class="quiet" onClick=${() => navigate(address("/compare", { a: b.request_id, b: a.request_id }))}>Swap</button>
    </div>
    <p class="muted">${count(rows.length)} nodes, ${changed ? `${count(changed)} of them with another outcome` : "all with the same outcome"}. The difference is B against A.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Nodes side by side"><table class="compare">
      <thead>
        <tr><th rowspan="2">Node</th><th colspan="3" class="num">Duration</th><th colspan="2" class="num">Tokens</th><th colspan="2" class="num">Cost</th><th rowspan="2">Input</th><th rowspan="2">Output</th></tr>
        <tr><th class="num">A</th><th class="num">B</th><th class="num">Δ</th><th class="num">A</th><th class="num">B</th><th class="num">A</th><th class="num">B</th></tr>
      </thead>
      <tbody>${rows.map((row) => html`<${Row} key=${row.key} row=${row} a=${a.request_id} b=${b.request_id} />`)}</tbody>
    </table></div>`;
}

const Side = ({ label, request, other }) => html`<section class="side" aria-label=${`Request ${label}`}>
  <b class="letter">${label}</b><${OutcomeIcon} request=${request} />
  <a href=${requestPath(request.request_id)}>${name(request.workflow_name, 60) || "(no name)"}</a><code>${name(request.request_id, 60)}</code>
  <span>${moment(request.start_time)}</span><span class="strong">${duration(request.duration_ms)}</span>
  ${other && html`<${Delta} a=${other.duration_ms} b=${request.duration_ms} />`}
  <span>${count(request.total_tokens)} tokens</span><span>${cost(request.cost_usd, request.computed_usd)}</span>
</section>`;

function Row({ row, a, b }) {
  const link = (side, request) => side?.span_id ? requestPath(request, { span: `${side.trace_id}-${side.span_id}` }) : requestPath(request);
  return html`<tr class=${`only-${row.in}`}>
    <th scope="row" style=${{ paddingLeft: `${8 + Math.min(row.depth, 12) * INDENT_PX}px` }}>
      ${row.a && html`<${StatusIcon} status=${row.a.status} />`}${row.b && row.a?.status !== row.b.status && html`<${StatusIcon} status=${row.b.status} />`}
      <a href=${row.b ? link(row.b, b) : link(row.a, a)} title=${name(row.key)}>${name(row.name, 80)}</a>
      ${row.in !== "both" && html`<span class="tag">only in ${row.in.toUpperCase()}</span>`}
    </th>
    <td class="num">${row.a ? duration(row.a.duration_ms) : ""}</td><td class="num">${row.b ? duration(row.b.duration_ms) : ""}</td>
    <td class="num"><${Delta} a=${row.a?.duration_ms} b=${row.b?.duration_ms} /></td>
    <td class="num">${count(row.a?.total_tokens)}</td><td class="num">${count(row.b?.total_tokens)}</td>
    <td class="num">${cost(row.a?.cost_usd, row.a?.cost_source)}</td><td class="num">${cost(row.b?.cost_usd, row.b?.cost_source)}</td>
    <td><${Same} row=${row} differs=${row.input_differs} /></td><td><${Same} row=${row} differs=${row.output_differs} /></td>
  </tr>`;
}

const Same = ({ row, differs }) => row.in !== "both" ? "" : differs
  ? html`<span class="differs"><${Icon} of="compare" />differs</span>`
  : html`<span class="muted">same</span>`;

// Below a tenth it is noise.
function Delta({ a, b }) {
  if (!(a > 0) || typeof b !== "number") return "";
  const share = (b - a) / a;
  if (Math.abs(share) < WORTH_SAYING) return html`<span class="muted">≈</span>`;
  const words = b > a * 10 ? `×${Math.round(b / a)}` : `${share > 0 ? "+" : "−"}${Math.round(Math.abs(share) * 100)} %`;
  return html`<span class=${share > 0 ? "slower" : "faster"}>${words}</span>`;
}
