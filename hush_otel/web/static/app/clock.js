// Time that passes on the page.
import { useEffect, useState } from "./dom.js";
import { serverNow } from "./api.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The server's time in ms, renewed every `everyMs` while `running`; once a second for whoever asked for less motion. */
export function useNow(running, everyMs) {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!running) return undefined;
    setNow(serverNow());
    const timer = setInterval(() => !document.hidden && setNow(serverNow()), calm.matches ? Math.max(1000, everyMs) : everyMs);
    return () => clearInterval(timer);
  }, [running, everyMs]);
  return now;
}
