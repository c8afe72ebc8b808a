// What a request is, in the few words that lists and heads of pages share.
import { html } from "./dom.js";
import { Icon, StatusIcon } from "./icons.js";

/** How a request went, apart from where it was sent: running, error (anywhere in it) or ok. */
export function outcome(request) {
  if (request.status === "writing" && request.running_count > 0) return "running";
  if (request.error_count > 0) return "error";
  return request.status === "writing" ? "running" : "ok";
}

const WORDS = { error: "has errors" };

export const OutcomeIcon = ({ request }) => html`<${StatusIcon} status=${outcome(request)} label=${WORDS[outcome(request)]} />`;

/** How long it has taken, up to now while it runs. */
export function elapsed(request, now) {
  if (outcome(request) !== "running") return request.duration_ms;
  const began = Date.parse(request.start_time);
  return Number.isNaN(began) ? request.duration_ms : Math.max(0, now - began);
}

const STATES = {
  writing: ["running", "not complete yet"],
  failed: ["error", "a delivery was refused for good"],
  flushing: ["waiting", "being sent"],
  pending: ["waiting", "waits for its delivery"],
  flushed: ["ok", "accepted by every destination"],
  stored: ["ok", "kept here; it has no destination"],
};

/** `requests.status`, in the word that the terminal and SQL have for it. */
export function RequestState({ status }) {
  const [icon, why] = Object.hasOwn(STATES, status) ? STATES[status] : ["waiting", ""];
  return html`<span class=${`state state-${icon}`} title=${why}><${Icon} of=${icon} />${String(status)}</span>`;
}

export const STATUSES = Object.keys(STATES);
