// The order in which requests were last listed: what "previous" and "next" mean on a request's page.
import { get } from "./api.js";

const ENOUGH = 200;
let listed = [];

/** Called by whatever lists requests. */
export function remember(ids) {
  listed = ids;
}

/** The request `step` places further down the list; null at its ends. */
export async function neighbour(id, step) {
  if (!listed.includes(id)) listed = (await get("/api/requests", { limit: ENOUGH })).requests.map((it) => it.request_id);
  const at = listed.indexOf(id);
  return at < 0 ? null : (listed[at + step] ?? null);
}
