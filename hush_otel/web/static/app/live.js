// What the server says by itself: which requests have changed, and how the whole is doing.
import { useEffect, useState } from "./dom.js";
import { get } from "./api.js";

const STATUS_EVERY_MS = 2000;
/** An answer that took long is followed by a pause of so many times that. */
const STATUS_REST = 10;
const AGAIN_MS = 2000;

const changeListeners = new Set();
const stateListeners = new Set();

const state = { connection: "connecting", status: null };

/** Call `listener(ids)` when requests change; `ids` is null when any may have. Returns how to stop. */
export function onChange(listener) {
  changeListeners.add(listener);
  return () => changeListeners.delete(listener);
}

/** `{connection, status}`: live, connecting, gone or signin; what `/api/status` said last. */
export function useLive() {
  const [shown, setShown] = useState({ ...state });
  useEffect(() => {
    const look = () => setShown({ ...state });
    stateListeners.add(look);
    look();
    return () => stateListeners.delete(look);
  }, []);
  return shown;
}

let source = null;

/**
 * Connect, once. Only while the page can be seen: a browser opens six connections to a server, over all its
 * tabs, and each that listens holds one of them.
 */
export function startLive() {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? source.close() : connect()));
}

function connect() {
  source?.close();
  source = new EventSource("/api/events");
  source.addEventListener("open", () => set({ connection: "live" }));
  // The first one names nothing and means everything: whatever happened while nobody listened.
  source.addEventListener("changed", (event) => {
    const { requests, more } = JSON.parse(event.data);
    changed(more ? null : new Set(requests));
    askStatus(); // what is stored has grown
  });
  source.addEventListener("status", () => askStatus());
  source.addEventListener("error", lost);
}

async function lost({ target }) {
  if (state.connection === "live") set({ connection: "connecting" });
  await askStatus(0);
  // After a refusal the browser gives up for good; after a broken connection it tries again by itself.
  const refused = target === source && target.readyState === EventSource.CLOSED;
  if (refused && state.connection !== "signin" && !document.hidden) setTimeout(connect, AGAIN_MS);
}

let asked = 0;
let tookMs = 0;
let timer = 0;

async function askStatus(rest = STATUS_REST) {
  clearTimeout(timer);
  // What could not be said is asked for as soon as something has changed: there may be a database by now.
  const every = state.status?.error ? 0 : STATUS_EVERY_MS;
  const early = Math.max(every, tookMs * rest) - (performance.now() - asked);
  if (early > 0 && asked) {
    timer = setTimeout(askStatus, early, rest);
    return;
  }
  asked = performance.now();
  try {
    set({ status: await get("/api/status") });
  } catch (error) {
    if (error.kind === "gone" || error.kind === "signin") set({ connection: error.kind });
    else set({ status: { error: error.message } });
  }
  tookMs = performance.now() - asked;
}

function changed(ids) {
  for (const listener of [...changeListeners]) listener(ids);
}

function set(changes) {
  Object.assign(state, changes);
  for (const listener of [...stateListeners]) listener();
}
