// Which rows of a long table are in sight. Only those are in the document.
import { useLayoutEffect, useState } from "./dom.js";

const OVERSCAN = 12;

/**
 * The rows `[first, last)` to render of `count` rows of `rowHeight` pixels, within the scrolling element `ref`.
 *
 * `above` is what scrolls above the first row: the height of a sticky header is not part of it.
 */
export function useWindow(ref, count, rowHeight, above = 0) {
  const [range, setRange] = useState([0, 60]);
  useLayoutEffect(() => {
    const box = ref.current;
    if (!box) return undefined;
    let frame = 0;
    const look = () => {
      frame = 0;
      const first = Math.max(0, Math.floor((box.scrollTop - above) / rowHeight) - OVERSCAN);
      const last = Math.ceil((box.scrollTop - above + box.clientHeight) / rowHeight) + OVERSCAN;
      setRange((old) => (old[0] === first && old[1] === last ? old : [first, last]));
    };
    const soon = () => (frame ||= requestAnimationFrame(look));
    look();
    box.addEventListener("scroll", soon, { passive: true });
    const sizes = new ResizeObserver(soon);
    sizes.observe(box);
    return () => {
      cancelAnimationFrame(frame);
      box.removeEventListener("scroll", soon);
      sizes.disconnect();
    };
  }, [ref.current, rowHeight, above]);
  return [Math.min(range[0], Math.max(0, count - 1)), Math.min(range[1], count)];
}

/** Scroll as little as needed to have a row in sight below a header of `header` pixels. */
export function reveal(box, index, rowHeight, header = 0, above = 0) {
  const top = above + index * rowHeight;
  const bottom = top + rowHeight;
  if (top < box.scrollTop) box.scrollTop = Math.max(0, top - rowHeight);
  else if (bottom + header > box.scrollTop + box.clientHeight) box.scrollTop = bottom + header + rowHeight - box.clientHeight;
}
