// Something summed over time: a bar for each bucket.
import { html } from "../dom.js";
import { fullMoment } from "../format.js";
import { Chart, Columns, EDGE, Rows } from "./frame.js";
import { linear, roundTicks, timeLabel, timeTicks } from "./scale.js";

/**
 * `buckets` have `at` in unix seconds, `bucketS` long each; `value(bucket)` is drawn, `failed(bucket)` of it in
 * the colour of failures at the foot; `words(number)` is how numbers are shown.
 */
export function Timeline({ title, note, buckets, bucketS, value, failed, words }) {
  const [early, late] = [buckets[0].at, buckets.at(-1).at + bucketS];
  const most = Math.max(...buckets.map((bucket) => value(bucket) ?? 0));
  const draw = (width, height) => {
    const x = linear(early, late, EDGE.left, width - EDGE.right);
    const marks = roundTicks(most, 3);
    const y = linear(0, Math.max(most, marks.at(-1), Number.MIN_VALUE), height - EDGE.bottom, EDGE.top);
    const { found, step } = timeTicks(early, late, Math.max(2, Math.floor(width / 110)));
    return html`<${Rows} width=${width} marks=${marks.map((it) => [y(it), words(it)])} />
      <${Columns} height=${height} marks=${found.map((at) => [Math.max(EDGE.left + 16, Math.min(width - 22, x(at))), timeLabel(at, step)])} />
      ${buckets.map((bucket) => html`<${Bucket} key=${bucket.at} bucket=${bucket} x=${x} y=${y} bucketS=${bucketS} value=${value(bucket) ?? 0} failed=${failed?.(bucket) ?? 0} words=${words} />`)}`;
  };
  return html`<${Chart} title=${title} note=${note} height=${150} draw=${draw} label=${`${title} over time`} />`;
}

function Bucket({ bucket, x, y, bucketS, value, failed, words }) {
  const left = x(bucket.at);
  const wide = Math.max(1, x(bucket.at + bucketS) - left - 1);
  return html`<g><title>${`${words(value)}${failed ? `, ${words(failed)} failed` : ""}\n${fullMoment(bucket.at)}`}</title>
    <rect class="bar" x=${left} width=${wide} y=${y(value)} height=${Math.max(0, y(failed) - y(value))} />
    ${failed > 0 && html`<rect class="bar failed" x=${left} width=${wide} y=${y(failed)} height=${y(0) - y(failed)} />`}
  </g>`;
}
