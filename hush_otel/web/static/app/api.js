// The only way to the server. Every failure is an ApiError with words for people.

/** `kind`: gone (nobody answers), signin (the session is over), missing (404), failed (anything else). */
export class ApiError extends Error {
  constructor(kind, message, hint = "") {
    super(message);
    this.kind = kind;
    this.hint = hint;
  }
}

let skewMs = 0;

/** Milliseconds since the epoch by the server's clock: what runs is measured by that one. */
export const serverNow = () => Date.now() + skewMs;

/** JSON from a GET. Empty parameters are left out. */
export async function get(path, params = {}, signal) {
  const kept = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  return ask(query ? `${path}?${query}` : path, { signal });
}

/** JSON from a POST with a JSON body. */
export async function post(path, body) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** The whole text of an address: what "copy all" puts into the clipboard. */
export async function getText(path) {
  return (await answer(path, {})).text();
}

async function ask(address, options) {
  const response = await answer(address, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("failed", `the answer to ${address} is no JSON`, "is this hush-otel's own server?");
  }
}

async function answer(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("gone", "The server does not answer.", "Start hush-otel ui again and open the address that it prints.");
  }
  noteClock(response.headers.get("date"));
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response) {
  const kind = { 401: "signin", 404: "missing" }[response.status] ?? "failed";
  try {
    const { error } = await response.json();
    return new ApiError(kind, error.message, error.hint);
  } catch {
    return new ApiError(kind, `The server answered ${response.status}.`);
  }
}

// The header has whole seconds; what is smaller than two of them is no difference of clocks.
function noteClock(date) {
  const difference = Date.parse(date) - Date.now();
  skewMs = Math.abs(difference) > 2000 ? difference : 0;
}

const spanPath = (requestId, span) =>
  `/api/requests/${encodeURIComponent(requestId)}/spans/${span.trace_id}/${span.span_id}`;

export const getSpan = (requestId, span, signal) => get(spanPath(requestId, span), {}, signal);

/** Where a whole payload is: `of` is input, output, metadata or attribute, the last with its key. */
export function payloadPath(requestId, span, of, key) {
  const query = new URLSearchParams(key === undefined ? { of } : { of, key });
  return `${spanPath(requestId, span)}/payload?${query}`;
}

export const mediaPath = (requestId, span, sha256) => `${spanPath(requestId, span)}/media/${encodeURIComponent(sha256)}`;
