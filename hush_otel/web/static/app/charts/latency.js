// How long requests took: each as a point over time, and all of them as a distribution.
import { html } from "../dom.js";
import { count, duration, fullMoment, name, plural } from "../format.js";
import { navigate, requestPath } from "../router.js";
import { Chart, Columns, EDGE, Rows } from "./frame.js";
import { linear, logarithmic, powers, roundTicks, timeLabel, timeTicks } from "./scale.js";

const BINS_PER_POWER = 6;
const LEAST_MS = 0.01;

function bounds(points) {
  const times = points.map(([, ms]) => Math.max(LEAST_MS, ms));
  const from = 10 ** Math.floor(Math.log10(Math.min(...times)));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...times)) + 1e-9);
  return [from, Math.max(to, from * 10)];
}

/** Points are `[start_at, duration_ms, failed, request_id, workflow]`, some of `of`; failed ones are crosses. */
export function Scatter({ points, of }) {
  const [from, to] = bounds(points);
  const starts = points.map(([at]) => at);
  const [early, late] = [Math.min(...starts), Math.max(...starts, Math.min(...starts) + 60)];
  const failed = points.filter(([, , it]) => it).length;
  const open = (event) => {
    const id = event.target.closest("[data-request]")?.dataset.request;
    if (id) navigate(requestPath(id));
  };
  const draw = (width, height) => {
    const x = linear(early, late, EDGE.left + 6, width - EDGE.right - 6);
    const y = logarithmic(from, to, height - EDGE.bottom, EDGE.top);
    const { found, step } = timeTicks(early, late, Math.max(2, Math.floor(width / 110)));
    return html`<${Rows} width=${width} marks=${powers(from, to).map((ms) => [y(ms), duration(ms)])} />
      <${Columns} height=${height} marks=${found.map((at) => [x(at), timeLabel(at, step)])} />
      <g class="points" onClick=${open}>${points.map((point) => html`<${Point} key=${point[3]} point=${point} x=${x(point[0])} y=${y(Math.max(LEAST_MS, point[1]))} />`)}</g>`;
  };
  return html`<${Chart} title="Latency" height=${240} draw=${draw}
    label=${`Duration of ${plural(points.length, "request")} over time, ${count(failed)} failed`}
    note=${of > points.length ? `${count(points.length)} of ${count(of)} requests · a cross has failed` : `${plural(points.length, "request")} · a cross has failed`} />`;
}

function Point({ point, x, y }) {
  const [at, ms, failed, id, workflow] = point;
  const words = html`<title>${`${name(workflow, 60)} ${duration(ms)}${failed ? ", failed" : ""}\n${fullMoment(at)}`}</title>`;
  return failed
    ? html`<path data-request=${id} class="failed" d=${`M${x - 3.5} ${y - 3.5}l7 7m0-7l-7 7`}>${words}</path>`
    : html`<circle data-request=${id} cx=${x} cy=${y} r="3">${words}</circle>`;
}

/** How many requests took how long; bins are even on the logarithm. */
export function Histogram({ points }) {
  const [from, to] = bounds(points);
  const bins = binned(points, from, to);
  const most = Math.max(...bins.map((bin) => bin.ok + bin.failed));
  const draw = (width, height) => {
    const x = logarithmic(from, to, EDGE.left, width - EDGE.right);
    const marks = roundTicks(most);
    const y = linear(0, Math.max(most, marks.at(-1)), height - EDGE.bottom, EDGE.top);
    return html`<${Rows} width=${width} marks=${marks.map((it) => [y(it), count(it)])} />
      <${Columns} height=${height} marks=${powers(from, to).map((ms) => [Math.min(width - 26, x(ms)), duration(ms)])} />
      ${bins.map((bin) => {
        const [left, right] = [x(bin.from) + 1, x(bin.to) - 1];
        const middle = y(bin.failed);
        return html`<g key=${bin.from}><title>${`${duration(bin.from)} to ${duration(bin.to)}: ${plural(bin.ok + bin.failed, "request")}, ${count(bin.failed)} failed`}</title>
          <rect class="bar" x=${left} width=${right - left} y=${y(bin.ok + bin.failed)} height=${middle - y(bin.ok + bin.failed)} />
          <rect class="bar failed" x=${left} width=${right - left} y=${middle} height=${y(0) - middle} /></g>`;
      })}`;
  };
  return html`<${Chart} title="Distribution" height=${240} draw=${draw} label=${`Distribution of the durations of ${plural(points.length, "request")}`} note="requests by duration · failed ones at the foot" />`;
}

function binned(points, from, to) {
  const amount = Math.round(Math.log10(to / from)) * BINS_PER_POWER;
  const edge = (n) => from * 10 ** (n / BINS_PER_POWER);
  const bins = Array.from({ length: amount }, (_, n) => ({ from: edge(n), to: edge(n + 1), ok: 0, failed: 0 }));
  for (const [, ms, failed] of points) {
    const at = Math.floor(Math.log10(Math.max(ms, from) / from) * BINS_PER_POWER);
    bins[Math.min(amount - 1, at)][failed ? "failed" : "ok"] += 1;
  }
  return bins;
}
