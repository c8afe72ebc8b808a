// What was sent where, what waits and why, and how to have it sent again.
import { html, useState } from "../dom.js";
import { get, post } from "../api.js";
import { useResource } from "../data.js";
import { ago, count, duration, fullMoment, moment, name, plural } from "../format.js";
import { Icon } from "../icons.js";
import { requestPath, setParams } from "../router.js";
import { Empty, Loaded } from "../states.js";

const PAGE = 100;
const STATES = ["pending", "sending", "paused", "dead", "delivered"];
const SHAPES = { delivered: "ok", dead: "error", paused: "paused", pending: "waiting", sending: "waiting", active: "ok", held: "waiting", failing: "error" };
const AGAIN = new Set(["dead", "paused"]);

export function DeliveriesPage({ params }) {
  const filters = { state: params.get("state") ?? "", destination: params.get("destination") ?? "" };
  const resource = useResource(JSON.stringify(filters), (signal) => get("/api/deliveries", { ...filters, limit: PAGE }, signal), () => true);
  const [said, setSaid] = useState(null);
  const retry = async (body) => {
    setSaid({ words: "Asking the background process …" });
    try {
      const { retried } = await post("/api/deliveries/retry", body);
      setSaid({ words: retried ? `${plural(retried, "delivery").replace("deliverys", "deliveries")} will be sent again.` : "Nothing was left to send again." });
    } catch (error) {
      setSaid({ words: `${error.message} ${error.hint ?? ""}`, failed: true });
    }
    resource.reload();
  };
  return html`<div class="page">
    <div class="head"><h1>Deliveries</h1>
      <div class="filters"><div class="choices open">
        <select class=${filters.state ? "on" : ""} aria-label="State" value=${filters.state} onChange=${(event) => setParams({ state: event.target.value })}>
          <option value="">State</option>${STATES.map((it) => html`<option key=${it} value=${it}>${it}</option>`)}
        </select>
        ${filters.destination && html`<button class="on" onClick=${() => setParams({ destination: "" })} aria-label=${`Every destination, not only ${name(filters.destination, 60)}`}>${name(filters.destination, 40)} <${Icon} of="close" /></button>`}
      </div></div>
    </div>
    ${said && html`<p class=${said.failed ? "banner bad" : "banner"} role="status">${said.words}</p>`}
    <${Loaded} resource=${resource}>${(data) => html`
      <div class="cards">${(data.destinations ?? []).map((it) => html`<${Destination} key=${it.name} ...${it} retry=${retry} />`)}</div>
      <${List} key=${JSON.stringify(filters)} data=${data} filters=${filters} retry=${retry} />`}
    <//>
  </div>`;
}

function Destination(it) {
  const waiting = it.dead > 0 || it.state === "paused";
  return html`<section class=${`card ${it.state === "active" && !it.dead ? "" : "troubled"}`} aria-label=${`Destination ${name(it.name, 60)}`}>
    <header><h2>${name(it.name, 40)}</h2><span class="muted">${name(it.type, 30)}</span><span class="spring" />
      <span class=${`state state-${SHAPES[it.state] ?? "waiting"}`}><${Icon} of=${SHAPES[it.state] ?? "waiting"} />${it.state}</span></header>
    ${it.target && html`<p class="muted cut" title=${name(it.target)}>${name(it.target, 120)}</p>`}
    <dl class="facts">
      <div><dt>Pending</dt><dd class=${it.pending ? "warn" : ""}>${count(it.pending)}</dd></div>
      ${it.oldest_pending_s !== null && html`<div><dt>Oldest</dt><dd>${duration(it.oldest_pending_s * 1000)}</dd></div>`}
      <div><dt>Dead</dt><dd class=${it.dead ? "bad" : ""}>${count(it.dead)}</dd></div>
      <div><dt>Spans delivered</dt><dd>${count(it.delivered_spans)}</dd></div>
      ${it.rejected_spans > 0 && html`<div><dt>Refused</dt><dd class="bad">${count(it.rejected_spans)}</dd></div>`}
      ${it.spans_per_s > 0 && html`<div><dt>Rate</dt><dd>${it.spans_per_s.toFixed(1)}/s</dd></div>`}
    </dl>
    ${it.reason && html`<p class=${it.state === "failing" ? "bad" : "warn"}>${it.state === "paused" ? "" : `${it.state} `}${name(it.reason, 300)}</p>`}
    ${it.last_error && it.last_error !== it.reason && html`<p class=${it.recovered ? "muted" : "bad"}>Last error, ${ago(Date.now() - it.last_error_at * 1000)}${it.recovered && ", before the last delivery"}: ${name(it.last_error, 300)}</p>`}
    ${it.unverified && html`<p class="warn">verify = false: whoever answers there is believed.</p>`}
    ${waiting && html`<button onClick=${() => it.retry({ destination: it.name, states: ["dead", "paused"] })}><${Icon} of="retry" />Send again what is dead or paused</button>`}
  </section>`;
}

function List({ data, filters, retry }) {
  const [older, setOlder] = useState({ rows: [], next: undefined });
  const next = older.next === undefined ? data.next : older.next;
  const more = async () => {
    const page = await get("/api/deliveries", { ...filters, limit: PAGE, before: next }).catch(() => null);
    if (page) setOlder({ rows: [...older.rows, ...page.deliveries], next: page.next });
  };
  const rows = [...new Map([...data.deliveries, ...older.rows].map((it) => [it.id, it])).values()];
  if (!rows.length) return filters.state || filters.destination ? html`<${Empty} title="No delivery matches" />` : html`<${None} />`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Deliveries"><table>
    <thead><tr><th>State</th><th>Request</th><th>Destination</th><th class="num">Spans</th><th class="num">Attempts</th><th class="num">Queued</th><th>Last error</th><th><span class="unseen">Retry</span></th></tr></thead>
    <tbody>${rows.map((it) => html`<${Delivery} key=${it.id} it=${it} retry=${retry} />`)}</tbody>
  </table></div>${next && html`<p><button onClick=${more}>Older deliveries</button></p>`}`;
}

const None = () => html`<${Empty} title="Nothing was to be delivered yet">
  <p>Name a destination in <code>hush.toml</code> or by <code>HUSH_DESTINATIONS</code>, and every request that completes is queued for it.</p>
<//>`;

const Delivery = ({ it, retry }) => html`<tr>
  <td><span class=${`state state-${SHAPES[it.state] ?? "waiting"}`}><${Icon} of=${SHAPES[it.state] ?? "waiting"} />${it.state}</span></td>
  <td><a href=${requestPath(it.request_id)} title=${name(it.request_id)}>${name(it.request_id, 48)}</a></td>
  <td>${name(it.destination, 40)}</td>
  <td class="num">${count(it.span_count)}</td>
  <td class="num">${count(it.attempts)}</td>
  <td class="num" title=${fullMoment(it.created_at)}>${moment(it.created_at)}</td>
  <td class="wrap">${name(it.last_error, 300)}${it.state === "pending" && it.next_attempt_at > Date.now() / 1000 && html` <span class="muted">next try ${moment(it.next_attempt_at)}</span>`}</td>
  <td>${AGAIN.has(it.state) && html`<button onClick=${() => retry({ ids: [it.id] })} aria-label=${`Send delivery ${it.id} again`}><${Icon} of="retry" />Retry</button>`}</td>
</tr>`;
