// The filters of the list. All of them live in the URL.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { name } from "../format.js";
import { Icon } from "../icons.js";
import { STATUSES } from "../request_facts.js";
import { setParams } from "../router.js";

const TYPING_MS = 250;

/** The parameters of `/api/requests` that a URL of the list may hold. */
export const FILTERS = ["text", "status", "workflow", "model", "user", "session", "tag", "errors", "since", "until", "min_ms"];

const SINCE = [["15m", "15 minutes"], ["1h", "hour"], ["1d", "day"], ["7d", "7 days"], ["30d", "30 days"]];
const LONGER = [["100", "0.1 s"], ["1000", "1 s"], ["10000", "10 s"], ["60000", "1 min"]];

export const chosen = (params) => Object.fromEntries(FILTERS.map((it) => [it, params.get(it)]).filter(([, value]) => value));

export function Filters({ params, searchRef }) {
  const facets = useFacets();
  const [open, setOpen] = useState(false);
  const active = Object.keys(chosen(params)).filter((it) => it !== "text").length;
  const choice = (filter, label, options) => html`<${Choice} key=${filter} filter=${filter} label=${label} options=${options} value=${params.get(filter) ?? ""} />`;
  return html`<div class="filters" role="search">
    <${Search} value=${params.get("text") ?? ""} inputRef=${searchRef} />
    <button class="filters-toggle" aria-expanded=${open} onClick=${() => setOpen(!open)}><${Icon} of="filter" />Filters${active ? ` (${active})` : ""}</button>
    <div class=${open ? "choices open" : "choices"}>
      ${choice("status", "Status", STATUSES.map((it) => [it, it]))}
      ${choice("workflow", "Workflow", named(facets.workflows))}
      ${choice("model", "Model", named(facets.models))}
      ${choice("user", "User", named(facets.users))}
      ${choice("session", "Session", named(facets.sessions))}
      ${choice("tag", "Tag", named(facets.tags))}
      ${choice("since", "Last", SINCE)}
      ${choice("min_ms", "Longer than", LONGER)}
      <label class=${params.get("errors") ? "check on" : "check"}>
        <input type="checkbox" checked=${Boolean(params.get("errors"))} onChange=${(event) => setParams({ errors: event.target.checked ? "1" : "" })} />Errors
      </label>
      ${active > 0 && html`<button class="quiet" onClick=${() => setParams(Object.fromEntries(FILTERS.map((it) => [it, ""])))}>Clear</button>`}
    </div>
  </div>`;
}

const named = (values) => (values ?? []).map((it) => [String(it), name(it, 40)]);

function useFacets() {
  const [facets, setFacets] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    // Without them one can still type a filter into the URL: no reason to show an error.
    get("/api/facets", {}, abort.signal).then(setFacets, () => {});
    return () => abort.abort();
  }, []);
  return facets;
}

function Choice({ filter, label, options, value }) {
  const known = !value || options.some(([it]) => it === value);
  return html`<select class=${value ? "on" : ""} aria-label=${label} value=${value} onChange=${(event) => setParams({ [filter]: event.target.value })}>
    <option value="">${label}</option>
    ${!known && html`<option value=${value}>${name(value, 40)}</option>`}
    ${options.map(([it, shown]) => html`<option key=${it} value=${it}>${filter === "since" ? `Last ${shown}` : filter === "min_ms" ? `> ${shown}` : shown}</option>`)}
  </select>`;
}

function Search({ value, inputRef }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  const sent = useRef(value);
  const send = (words) => {
    sent.current = words;
    setParams({ text: words }, { replace: true });
  };
  // What the field has put into the URL itself does not come back: more may have been typed meanwhile.
  useLayoutEffect(() => {
    if (value !== sent.current) setText(value);
    sent.current = value;
  }, [value]);
  const onInput = (event) => {
    const typed = event.target.value;
    setText(typed);
    clearTimeout(timer.current);
    timer.current = setTimeout(send, TYPING_MS, typed.trim());
  };
  const onKeyDown = (event) => event.key === "Escape" && event.target.blur();
  return html`<div class="search">
    <${Icon} of="search" />
    <input ref=${inputRef} type="search" value=${text} onInput=${onInput} onKeyDown=${onKeyDown}
      placeholder="Search names, inputs and outputs" aria-label="Search names, inputs and outputs" autocomplete="off" spellcheck=${false} />
    <kbd aria-hidden="true">/</kbd>
  </div>`;
}
