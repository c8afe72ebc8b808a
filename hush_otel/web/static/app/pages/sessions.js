// Sessions, and the requests of one in the order in which they came.
import { html, useState } from "../dom.js";
import { get } from "../api.js";
import { useResource } from "../data.js";
import { cost, count, duration, fullMoment, moment, name, plural, tokens, total } from "../format.js";
import { RequestTable } from "../request_table.js";
import { sessionPath } from "../router.js";
import { Empty, Loaded } from "../states.js";

const PAGE = 50;

export function SessionsPage() {
  const [older, setOlder] = useState({ rows: [], next: undefined });
  const resource = useResource("sessions", (signal) => get("/api/sessions", { limit: PAGE }, signal), () => true);
  const next = older.next === undefined ? resource.data?.next : older.next;
  const more = async () => {
    const page = await get("/api/sessions", { limit: PAGE, before: next }).catch(() => null);
    if (page) setOlder({ rows: [...older.rows, ...page.sessions], next: page.next });
  };
  return html`<div class="page">
    <div class="head"><h1>Sessions</h1></div>
    <${Loaded} resource=${resource}>
      ${({ sessions }) => sessions.length ? html`<${Table} rows=${unique([...sessions, ...older.rows])} />${next && html`<p><button onClick=${more}>Older sessions</button></p>`}` : html`<${None} />`}
    <//>
  </div>`;
}

function unique(sessions) {
  return [...new Map(sessions.map((it) => [it.session_id, it])).values()];
}

const None = () => html`<${Empty} title="No sessions yet">
  <p>A session is what carries a <code>session.id</code> (or <code>gen_ai.conversation.id</code>): the requests of one conversation.</p>
<//>`;

const Table = ({ rows }) => html`<div class="scroll" tabindex="0" role="region" aria-label="Sessions"><table>
  <thead><tr><th>Session</th><th>User</th><th class="num">Requests</th><th class="num">Errors</th><th class="num">Tokens</th><th class="num">Cost</th><th class="num">First</th><th class="num">Last</th></tr></thead>
  <tbody>${rows.map((it) => html`<tr key=${it.session_id}>
    <td><a href=${sessionPath(it.session_id)} title=${name(it.session_id)}>${name(it.session_id, 80)}</a></td>
    <td>${name(it.user_id, 60)}</td>
    <td class="num">${count(it.request_count)}</td>
    <td class=${it.error_count ? "num bad" : "num muted"}>${count(it.error_count)}</td>
    <td class="num">${count(it.total_tokens)}</td>
    <td class="num">${cost(it.cost_usd, it.computed_usd)}</td>
    <td class="num" title=${fullMoment(it.first_at)}>${moment(it.first_at)}</td>
    <td class="num" title=${fullMoment(it.last_at)}>${moment(it.last_at)}</td>
  </tr>`)}</tbody>
</table></div>`;

export function SessionPage({ id }) {
  const resource = useResource(`session:${id}`, (signal) => get(`/api/sessions/${encodeURIComponent(id)}`, {}, signal), () => true);
  return html`<div class="page fill">
    <div class="head"><h1>Session</h1><code title=${name(id)}>${name(id, 80)}</code></div>
    <${Loaded} resource=${resource}>${({ requests }) => html`<${Sums} requests=${requests} /><${RequestTable} rows=${requests} session=${true} />`}<//>
  </div>`;
}

function Sums({ requests }) {
  const sum = (key) => total(requests.map((it) => it[key]));
  const users = [...new Set(requests.map((it) => it.user_id).filter(Boolean))];
  const computed = requests.some((it) => it.computed_usd);
  return html`<dl class="facts">
    <div><dt>Requests</dt><dd class="strong">${plural(requests.length, "request")}</dd></div>
    <div><dt>Errors</dt><dd class=${sum("error_count") ? "bad" : ""}>${count(sum("error_count"))}</dd></div>
    <div><dt>Time in all</dt><dd>${duration(sum("duration_ms"))}</dd></div>
    <div><dt>Tokens</dt><dd>${tokens(sum("prompt_tokens"), sum("completion_tokens"), sum("total_tokens"))}</dd></div>
    <div><dt>Cost</dt><dd>${cost(sum("cost_usd"), computed)}</dd></div>
    ${users.length > 0 && html`<div><dt>User</dt><dd>${name(users.join(", "), 120)}</dd></div>`}
  </dl>`;
}
