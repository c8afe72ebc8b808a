// What stands where there is nothing to show: not yet, not at all, or not any more.
import { html } from "./dom.js";
import { navigate } from "./router.js";

/** Grey lines in the shape of what is coming. */
export function Skeleton({ lines = 8 }) {
  const widths = [62, 48, 70, 55, 40, 66, 52, 58];
  return html`<div class="skeleton" role="status" aria-label="Loading">
    ${Array.from({ length: lines }, (_, i) => html`<div key=${i} style=${{ width: `${widths[i % widths.length]}%` }} />`)}
  </div>`;
}

export function Empty({ title, children }) {
  return html`<div class="notice"><h2>${title}</h2><div>${children}</div></div>`;
}

/** An error in the place of what it kept from being shown. */
export function Failure({ error, retry }) {
  const titles = { gone: "The server is gone", signin: "The session is over", missing: "Not found", failed: "That did not work" };
  const hint = error.kind === "signin" ? "Open the address that hush-otel ui has printed: it carries the token." : error.hint;
  return html`<div class="notice" role="alert">
    <h2>${titles[error.kind] ?? titles.failed}</h2>
    <p>${error.message}</p>
    ${hint && html`<p class="muted">${hint}</p>`}
    <p>
      ${retry && error.kind !== "missing" && html`<button onClick=${retry}>Try again</button>`}
      ${error.kind === "missing" && html`<button onClick=${() => navigate("/")}>All requests</button>`}
    </p>
  </div>`;
}

/** A resource's way through its states: skeleton, failure, then `show(data)`; an error beside older data is a line. */
export function Loaded({ resource, lines, children }) {
  const { data, error, reload } = resource;
  if (data) {
    return html`${error && html`<p class="stale" role="status">Not up to date: ${error.message}</p>`}${children(data)}`;
  }
  return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Skeleton} lines=${lines} />`;
}
