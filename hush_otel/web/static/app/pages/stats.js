// How it has been going: latency, requests, tokens and cost over time, and who causes them.
import { html } from "../dom.js";
import { get } from "../api.js";
import { Histogram, Scatter } from "../charts/latency.js";
import { Timeline } from "../charts/timeline.js";
import { useResource } from "../data.js";
import { cost, count, duration, name, plural, total } from "../format.js";
import { address, setParams } from "../router.js";
import { Empty, Loaded } from "../states.js";

const SINCE = [["1h", "Hour"], ["1d", "Day"], ["7d", "7 days"], ["30d", "30 days"]];
const BY = [["workflow", "Workflow"], ["model", "Model"], ["day", "Day"]];

export function StatsPage({ params }) {
  const since = params.get("since") ?? "7d";
  const by = params.get("by") ?? "workflow";
  const workflow = params.get("workflow") ?? "";
  const table = useResource(`${by}:${since}`, (signal) => get("/api/stats", { by, since }, signal), () => true);
  const latency = useResource(`${since}:${workflow}`, (signal) => get("/api/latency", { since, workflow }, signal), () => true);
  const timeline = useResource(since, (signal) => get("/api/timeline", { since }, signal), () => true);
  return html`<div class="page">
    <div class="head"><h1>Stats</h1><${Choice} label="Since" options=${SINCE} value=${since} set=${(it) => setParams({ since: it })} />
      ${workflow && html`<button class="on" onClick=${() => setParams({ workflow: "" })}>${name(workflow, 40)} ✕</button>`}</div>
    <${Loaded} resource=${timeline} lines=${4}>${(data) => html`<${Sums} ...${data} />`}<//>
    <${Loaded} resource=${latency} lines=${6}>${(data) => data.points.length
      ? html`<div class="charts"><${Scatter} points=${data.points} of=${data.sampled.of} /><${Histogram} points=${data.points} /></div>`
      : html`<${Empty} title="No request in this time"><p>Choose a longer time, or record one.</p><//>`}<//>
    ${timeline.data?.buckets.length > 0 && html`<${Timelines} ...${timeline.data} />`}
    <div class="head"><h2>By</h2><${Choice} label="Group by" options=${BY} value=${by} set=${(it) => setParams({ by: it })} /></div>
    <${Loaded} resource=${table} lines=${5}>${(data) => html`<${Table} rows=${data.rows} by=${by} since=${since} />`}<//>
  </div>`;
}

const Choice = ({ label, options, value, set }) => html`<div class="segments" role="group" aria-label=${label}>
  ${options.map(([it, words]) => html`<button key=${it} aria-pressed=${String(it === value)} onClick=${() => set(it)}>${words}</button>`)}
</div>`;

function Sums({ buckets, complete, looked_at: seen }) {
  const sum = (key) => total(buckets.map((it) => it[key]));
  const [requests, errors] = [sum("count"), sum("error_count")];
  return html`<dl class="facts large">
    <div><dt>Requests</dt><dd>${count(requests)}</dd></div>
    <div><dt>Failed</dt><dd class=${errors ? "bad" : ""}>${count(errors)}${requests > 0 && errors > 0 && html` <small>${((errors / requests) * 100).toFixed(1)} %</small>`}</dd></div>
    <div><dt>Tokens</dt><dd>${count(sum("total_tokens"))}</dd></div>
    <div><dt>Cost</dt><dd>${cost(sum("cost_usd"), sum("computed_usd")) || "$0"}</dd></div>
    ${!complete && html`<div><dt>Of these only</dt><dd class="warn">the newest ${count(seen)}</dd></div>`}
  </dl>`;
}

const Timelines = ({ buckets, bucket_s: bucketS }) => html`<div class="charts three">
  <${Timeline} title="Requests" note="failed ones at the foot" buckets=${buckets} bucketS=${bucketS} value=${(it) => it.count} failed=${(it) => it.error_count} words=${count} />
  <${Timeline} title="Tokens" buckets=${buckets} bucketS=${bucketS} value=${(it) => it.total_tokens} words=${brief} />
  <${Timeline} title="Cost" note=${buckets.some((it) => it.computed_usd) ? "by a price table, at least in part" : undefined} buckets=${buckets} bucketS=${bucketS} value=${(it) => it.cost_usd} words=${cost} />
</div>`;

const brief = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1000 ? `${value / 1000}k` : count(value));

function Table({ rows, by, since }) {
  if (!rows.length) return html`<p class="muted">Nothing in this time.</p>`;
  const slowest = Math.max(...rows.map((it) => it.p95_ms ?? 0));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`By ${by}`}><table>
    <thead><tr><th>${BY.find(([it]) => it === by)?.[1] ?? name(by)}</th><th class="num">${by === "model" ? "Calls" : "Requests"}</th><th class="num">Failed</th><th class="num">p50</th><th class="num">p95</th><th class="num">p99</th><th class="num">Tokens</th><th class="num">Cost</th></tr></thead>
    <tbody>${rows.map((it) => html`<tr key=${it.key}>
      <td><${Key} by=${by} value=${it.key} since=${since} /></td>
      <td class="num" title=${plural(it.count, "request")}>${count(it.count)}</td>
      <td class=${it.error_count ? "num bad" : "num muted"}>${count(it.error_count)}</td>
      <td class="num">${duration(it.p50_ms)}</td>
      <td class="num"><i class="mini" aria-hidden="true"><i style=${{ width: `${(it.p95_ms / slowest) * 100}%` }} /></i>${duration(it.p95_ms)}</td>
      <td class="num">${duration(it.p99_ms)}</td>
      <td class="num">${count(it.total_tokens)}</td>
      <td class="num">${cost(it.cost_usd, it.computed_usd)}</td>
    </tr>`)}</tbody>
  </table></div>`;
}

const Key = ({ by, value, since }) => by === "day" ? name(value) : html`<a href=${address("/", { [by]: value, since })}>${name(value, 80) || "(no name)"}</a>`;
