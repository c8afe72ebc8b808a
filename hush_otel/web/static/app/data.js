// Loading with a memory: what was there stays on the page until the newer is there.
import { useCallback, useEffect, useRef, useState } from "./dom.js";
import { onChange } from "./live.js";

const SETTLE_MS = 120;
const REST = 3;

/**
 * What `load(signal)` gives, for as long as `key` stays the same.
 *
 * `concerns(ids)` says whether a change is one of what is shown; without it nothing is loaded again. A load
 * that took long is not begun again before three times as long has passed, so that a large request costs a
 * quarter of one core at most.
 */
export function useResource(key, load, concerns) {
  const [state, setState] = useState({ key, data: null, error: null, loading: true });
  const latest = useRef({});
  latest.current = { load, concerns, key };
  const run = useRef(null);

  const reload = useCallback(() => run.current?.(), []);

  useEffect(() => {
    const loader = makeLoader(latest, key, setState);
    run.current = loader.soon;
    setState((old) => (old.key === key ? { ...old, loading: true } : { key, data: null, error: null, loading: true }));
    loader.now();
    const stop = onChange((ids) => {
      const { concerns } = latest.current;
      if (concerns && !document.hidden && (ids === null || concerns(ids))) loader.soon();
    });
    return () => {
      stop();
      loader.stop();
    };
  }, [key]);

  const shown = state.key === key ? state : { data: null, error: null, loading: true };
  return { ...shown, reload };
}

function makeLoader(latest, key, setState) {
  const abort = new AbortController();
  let [busy, again, timer, tookMs] = [false, false, 0, 0];

  async function now() {
    timer = 0;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const began = performance.now();
    try {
      const data = await latest.current.load(abort.signal);
      if (!abort.signal.aborted) setState({ key, data, error: null, loading: false });
    } catch (error) {
      if (error.name !== "AbortError" && !abort.signal.aborted) {
        setState((old) => ({ key, data: old.key === key ? old.data : null, error, loading: false }));
        if (!error.kind) console.error(error);
      }
    }
    busy = false;
    tookMs = performance.now() - began;
    if (again) {
      again = false;
      soon();
    }
  }

  function soon() {
    if (busy) again = true;
    else if (!timer && !abort.signal.aborted) timer = setTimeout(now, Math.max(SETTLE_MS, tookMs * REST));
  }

  function stop() {
    abort.abort();
    clearTimeout(timer);
  }
  return { now, soon, stop };
}
