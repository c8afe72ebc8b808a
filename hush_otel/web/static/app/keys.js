// The keyboard. A page says which keys it takes; the newest that takes a key gets it. `?` lists them all.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./dom.js";
import { navigate } from "./router.js";

const GO_MS = 1200;

const stack = [];
let goUntil = 0;
let showHelp = () => {};

const GO = { l: ["/", "Requests"], s: ["/sessions", "Sessions"], t: ["/stats", "Stats"], d: ["/deliveries", "Deliveries"] };

/**
 * Take keys for as long as the caller is on the page.
 *
 * `bindings` is a list of `{keys: ["j", "ArrowDown"], what: "next request", run(event)}`. One without `what`
 * is not listed. A `run` that returns false has not taken the key.
 */
export function useKeys(title, bindings) {
  const entry = useRef({});
  entry.current.title = title;
  entry.current.bindings = bindings;
  // Before the first paint: a key that is pressed as soon as something can be seen is not lost.
  useLayoutEffect(() => {
    const mine = entry.current;
    stack.push(mine);
    return () => void stack.splice(stack.indexOf(mine), 1);
  }, []);
}

/** Listen, once. */
export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event)) return;
    if (take(event)) event.preventDefault();
  });
}

// In a field keys are text. Enter and Space belong to whatever control has the focus.
function isTyping(event) {
  const { target, key } = event;
  if (document.querySelector("dialog[open]") && key !== "?") return true;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "checkbox") return true;
  return (key === "Enter" || key === " ") && Boolean(target.closest?.("a, button, summary, [role=button]"));
}

function take(event) {
  if (performance.now() < goUntil) {
    goUntil = 0;
    if (Object.hasOwn(GO, event.key)) {
      navigate(GO[event.key][0]);
      return true;
    }
  }
  if (event.key === "g") {
    goUntil = performance.now() + GO_MS;
    return true;
  }
  if (event.key === "?") {
    showHelp();
    return true;
  }
  for (const { bindings } of [...stack].reverse()) {
    for (const { keys, run } of bindings) {
      if (keys.includes(event.key) && run(event) !== false) return true;
    }
  }
  return false;
}

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", Enter: "Enter" };

/** The list of keys, shown by `?`, and by `open()` of the module. */
export function KeyHelp() {
  const [groups, setGroups] = useState([]);
  const dialog = useRef(null);
  useEffect(() => {
    showHelp = () => {
      setGroups([...stack].reverse().map(({ title, bindings }) => ({ title, bindings: bindings.filter((it) => it.what) })));
      if (!dialog.current.open) dialog.current.showModal();
    };
  }, []);
  const close = () => dialog.current.close();
  const onClick = (event) => event.target === dialog.current && close();
  return html`<dialog ref=${dialog} class="help" aria-labelledby="help-title" onClick=${onClick}>
    <header><h2 id="help-title">Keyboard</h2><button class="quiet" onClick=${close}>Close <kbd>Esc</kbd></button></header>
    <div class="help-groups">
      ${groups.map((group) => html`<${KeyGroup} ...${group} />`)}
      <${KeyGroup} title="Everywhere" bindings=${EVERYWHERE} />
    </div>
  </dialog>`;
}

const EVERYWHERE = [
  ...Object.entries(GO).map(([key, [, what]]) => ({ keys: [`g ${key}`], what })),
  { keys: ["?"], what: "These keys" },
];

function KeyGroup({ title, bindings }) {
  if (!bindings.length) return null;
  return html`<section><h3>${title}</h3><dl>
    ${bindings.map(({ keys, what }) => html`<div><dt>${keys.map((key) => html`<kbd>${NAMES[key] ?? key}</kbd>`)}</dt><dd>${what}</dd></div>`)}
  </dl></section>`;
}

/** Show the list of keys. */
export const openHelp = () => showHelp();
