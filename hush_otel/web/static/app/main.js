// The entry: what runs once, and which page stands for which address.
import { html, render, useEffect } from "./dom.js";
import { KeyHelp, startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { followLinks, useLocation } from "./router.js";
import { Shell } from "./shell.js";
import { Empty } from "./states.js";
import { ComparePage } from "./pages/compare.js";
import { DeliveriesPage } from "./pages/deliveries.js";
import { RequestPage } from "./pages/request.js";
import { RequestsPage } from "./pages/requests.js";
import { SessionPage, SessionsPage } from "./pages/sessions.js";
import { StatsPage } from "./pages/stats.js";

const TITLES = { requests: "Requests", sessions: "Sessions", session: "Session", compare: "Compare", stats: "Stats", deliveries: "Deliveries" };

function App() {
  const { page, id, params } = useLocation();
  useEffect(() => {
    document.title = page === "request" || page === "session" ? `${id.slice(0, 60)} · hush-otel` : `${TITLES[page] ?? "hush-otel"} · hush-otel`;
  }, [page, id]);
  return html`<${Shell} page=${page}><${Page} page=${page} id=${id} params=${params} /><//><${KeyHelp} />`;
}

function Page({ page, id, params }) {
  switch (page) {
    case "requests": return html`<${RequestsPage} params=${params} />`;
    case "request": return html`<${RequestPage} key=${id} id=${id} params=${params} />`;
    case "sessions": return html`<${SessionsPage} />`;
    case "session": return html`<${SessionPage} key=${id} id=${id} />`;
    case "compare": return html`<${ComparePage} params=${params} />`;
    case "stats": return html`<${StatsPage} params=${params} />`;
    case "deliveries": return html`<${DeliveriesPage} params=${params} />`;
    default: return html`<${Empty} title="There is no such page"><a href="/">All requests</a><//>`;
  }
}

followLinks();
startKeys();
startLive();
render(html`<${App} />`, document.getElementById("app"));
