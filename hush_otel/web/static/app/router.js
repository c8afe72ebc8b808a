// The URL is the state: which page, and every filter. Whatever a page shows can be bookmarked.
import { useEffect, useState } from "./dom.js";

const listeners = new Set();

/** The page that a URL names: `{page, id, params}`. */
export function parse({ pathname, search }) {
  const params = new URLSearchParams(search);
  const [first = "", ...rest] = pathname.split("/").slice(1);
  const id = decoded(rest.join("/"));
  const found = { "": "requests", requests: id ? "request" : "requests", sessions: id ? "session" : "sessions" };
  const page = found[first] ?? (["compare", "stats", "deliveries"].includes(first) ? first : "unknown");
  return { page, id, params, path: pathname };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % is not worth a blank page
  }
}

/** Go to an address of this page. `replace` leaves no step behind in the history. */
export function navigate(address, { replace = false } = {}) {
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  announce();
}

/** The present page with other parameters; those that are empty or null leave the URL. */
export function setParams(changes, options) {
  const params = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") params.delete(name);
    else params.set(name, value);
  }
  navigate(address(location.pathname, params), options);
}

/** A path with parameters, empty ones left out. */
export function address(path, params = {}) {
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const kept = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept).toString();
  return query ? `${path}?${query}` : path;
}

export const requestPath = (id, params) => address(`/requests/${encodeURIComponent(id)}`, params);
export const sessionPath = (id) => `/sessions/${encodeURIComponent(id)}`;

/** The present location, parsed; renders again when it changes. */
export function useLocation() {
  const [here, setHere] = useState(() => parse(location));
  useEffect(() => {
    const look = () => setHere(parse(location));
    listeners.add(look);
    return () => listeners.delete(look);
  }, []);
  return here;
}

/** Follow links within the page without loading it again. */
export function followLinks() {
  addEventListener("popstate", announce);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (link.origin !== location.origin || link.hasAttribute("download") || link.target) return;
    if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/static/")) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}

function announce() {
  for (const listener of [...listeners]) listener();
}
