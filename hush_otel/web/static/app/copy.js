// A button that copies, and says that it has.
import { html, useState } from "./dom.js";
import { Icon } from "./icons.js";

const SAID_MS = 1500;

/** Put a text into the clipboard; false where the browser does not allow it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** `text` is a string, or a function that gives one or a promise of one. */
export function CopyButton({ text, what, children }) {
  const [said, setSaid] = useState("");
  const onClick = async (event) => {
    event.stopPropagation();
    const value = await Promise.resolve(typeof text === "function" ? text() : text).catch(() => null);
    setSaid(value !== null && (await copy(value)) ? "Copied" : "Not copied");
    setTimeout(() => setSaid(""), SAID_MS);
  };
  return html`<button class="quiet copy" onClick=${onClick} aria-label=${`Copy ${what}`} title=${`Copy ${what}`}>
    <${Icon} of=${said === "Copied" ? "ok" : "copy"} />${children}<span class="said" role="status">${said}</span>
  </button>`;
}
