// Around every page: where one can go, and how the whole is doing.
import { html } from "./dom.js";
import { Icon } from "./icons.js";
import { openHelp } from "./keys.js";
import { useLive } from "./live.js";
import { ThemeButton } from "./theme.js";
import { count, name, plural, size } from "./format.js";

const PAGES = [
  ["/", "Requests", ["requests", "request", "compare"]],
  ["/sessions", "Sessions", ["sessions", "session"]],
  ["/stats", "Stats", ["stats"]],
  ["/deliveries", "Deliveries", ["deliveries"]],
];

export function Shell({ page, children }) {
  const live = useLive();
  return html`<a class="skip" href="#main">To the content</a>
    <header class="topbar">
      <a class="brand" href="/" aria-label="hush-otel"><${Logo} /><span>hush-otel</span></a>
      <nav aria-label="Pages">
        ${PAGES.map(([path, label, of]) => html`<a href=${path} aria-current=${of.includes(page) ? "page" : undefined}>${label}</a>`)}
      </nav>
      <span class="spring" />
      <${Connection} state=${live.connection} />
      <button class="quiet" onClick=${openHelp} aria-label="Keyboard shortcuts" title="Keyboard (?)"><${Icon} of="help" /></button>
      <${ThemeButton} />
    </header>
    <main id="main" tabindex="-1">${children}</main>
    <${Health} ...${live} />`;
}

const Logo = () => html`<svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="4" /><path d="M3.5 5h9M5.5 8h5M8.5 11h4" /></svg>`;

const WORDS = { live: "Live", connecting: "Connecting", gone: "Server gone", signin: "Signed out" };

const Connection = ({ state }) => html`<span class=${`connection ${state}`} role="status"><i aria-hidden="true" />${WORDS[state]}</span>`;

function Health({ connection, status }) {
  if (connection === "gone" || connection === "signin") return html`<${Lost} connection=${connection} />`;
  return html`<footer class="health" aria-label="Health">${status && !status.error ? html`<${Facts} ...${status} />` : html`<span>${status?.error ?? "…"}</span>`}</footer>`;
}

const Lost = ({ connection }) => html`<footer class="health lost" role="alert">
  ${connection === "gone" ? "The server does not answer. What you see is what it said last." : "The session is over: open the address that hush-otel ui has printed."}
</footer>`;

// Reasons of the loss ledger of which nothing is lost: what came twice is stored once, what was cut is stored without a part.
const TWICE = /^duplicate/;
const CUT = "cut";

function Facts({ background_pid, spool, backlog_bytes, losses, destinations, spans, database }) {
  const lost = (losses ?? []).filter(({ reason }) => !TWICE.test(reason) && reason !== CUT);
  const cut = (losses ?? []).find(({ reason }) => reason === CUT)?.count;
  const lostCount = lost.reduce((sum, loss) => sum + loss.count, 0);
  const why = lost.map((loss) => `${count(loss.count)} ${name(loss.reason)}`).join(", ");
  // It leaves when there is nothing to do: that alone worries nobody.
  const missed = !background_pid && (backlog_bytes > 0 || (destinations ?? []).some(({ pending }) => pending > 0));
  const absent = missed ? "something waits, and nobody stores or delivers: an application or hush-otel run starts it" : "nothing waits; it starts with the next application that records";
  return html`
    <span class=${missed ? "warn" : ""} title=${background_pid ? `pid ${background_pid}` : absent}>
      ${background_pid ? "background process running" : "no background process"}
    </span>
    ${database && html`<span title=${name(database.path)}>${plural(spans ?? 0, "span")}, ${size(database.size_bytes + database.wal_bytes)}</span>`}
    <span class=${backlog_bytes > 1 << 20 ? "warn" : ""} title="recorded and not stored yet">backlog ${size(backlog_bytes ?? 0)}</span>
    ${spool && html`<span title=${name(spool.path)}>spool ${size(spool.size_bytes)}</span>`}
    <span class=${lostCount ? "bad" : ""} title=${why || "nothing was dropped"}>${lostCount ? `${count(lostCount)} lost` : "none lost"}</span>
    ${cut > 0 && html`<span class="warn" title="stored without a part: an attachment that could not be taken, or a value that was too large">${count(cut)} cut</span>`}
    <span class="spring" />
    ${(destinations ?? []).map((it) => html`<${DestinationFact} key=${it.name} ...${it} />`)}`;
}

const SHAPES = { paused: "paused", failing: "error", held: "waiting" };

const shapeOf = (state, pending, dead) => SHAPES[state] ?? (dead > 0 ? "error" : pending > 0 ? "waiting" : "ok");

function DestinationFact({ name: called, state, pending, dead, reason }) {
  const troubled = state !== "active" || dead > 0;
  const words = [state !== "active" && state, pending > 0 && `${count(pending)} pending`, dead > 0 && `${count(dead)} dead`].filter(Boolean);
  return html`<a href="/deliveries" class=${troubled ? "warn" : ""} title=${name(reason ?? "")}>
    <${Icon} of=${shapeOf(state, pending, dead)} />${name(called, 28)} ${words.join(", ")}
  </a>`;
}
