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

const DELIVERY = {
  writing: ["running", "open", "not complete yet"],
  failed: ["error", "failed", "a delivery was refused for good"],
  flushing: ["waiting", "sending", "being sent"],
  pending: ["waiting", "pending", "waits for its delivery"],
  flushed: ["ok", "delivered", "accepted by every destination"],
  stored: ["ok", "stored", "kept here; it has no destination"],
};

/** The state of `requests.status` in words. */
export function DeliveryState({ status }) {
  const [icon, word, why] = Object.hasOwn(DELIVERY, status) ? DELIVERY[status] : ["waiting", String(status), ""];
  return html`<span class=${`state state-${icon}`} title=${why}><${Icon} of=${icon} />${word}</span>`;
}

export const STATUSES = Object.keys(DELIVERY);
export const statusWord = (status) => (Object.hasOwn(DELIVERY, status) ? DELIVERY[status][1] : status);
