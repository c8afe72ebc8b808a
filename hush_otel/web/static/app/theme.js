// Light or dark: the system's, until somebody chooses.
import { html, useEffect, useState } from "./dom.js";
import { Icon } from "./icons.js";

const KEY = "hush-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

const present = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");

function choose(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds for as long as this page is open, then.
  }
}

export function ThemeButton() {
  const [theme, setTheme] = useState(present);
  useEffect(() => {
    const look = () => setTheme(present());
    dark.addEventListener("change", look);
    return () => dark.removeEventListener("change", look);
  }, []);
  const other = theme === "dark" ? "light" : "dark";
  const toggle = () => (choose(other), setTheme(other));
  return html`<button class="quiet" onClick=${toggle} title=${`Show ${other}`} aria-label=${`Switch to the ${other} theme`}>
    <${Icon} of=${theme === "dark" ? "sun" : "moon"} />
  </button>`;
}
