// What charts share: a title, a drawing as wide as there is room for, axes.
import { html, useLayoutEffect, useRef, useState } from "../dom.js";

export const EDGE = { left: 52, right: 12, top: 10, bottom: 22 };

/** A chart with its heading. `draw(width)` gives the content of an SVG of that width and of `height`. */
export function Chart({ title, note, label, height = 200, draw }) {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const sizes = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    sizes.observe(box.current);
    return () => sizes.disconnect();
  }, []);
  return html`<figure class="chart">
    <figcaption><h2>${title}</h2>${note && html`<span class="muted">${note}</span>`}</figcaption>
    <div ref=${box} style=${{ height: `${height}px` }}>
      ${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${label}>${draw(width, height)}</svg>`}
    </div>
  </figure>`;
}

/** Horizontal lines with their numbers: `marks` is a list of `[y, words]`. */
export const Rows = ({ marks, width }) => marks.map(([y, words]) => html`<g key=${words} class="tick">
  <line x1=${EDGE.left} x2=${width - EDGE.right} y1=${y} y2=${y} /><text x=${EDGE.left - 8} y=${y + 4} text-anchor="end">${words}</text>
</g>`);

/** Words below the drawing: `marks` is a list of `[x, words]`. */
export const Columns = ({ marks, height }) => marks.map(([x, words]) => html`<text key=${x} class="tick-x" x=${x} y=${height - 5} text-anchor="middle">${words}</text>`);
