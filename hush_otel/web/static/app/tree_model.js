// The spans of a request as arrays: pure functions over what `/tree` answers. Rows are in execution order, depth first.

const FAILED = new Set(["error", "interrupted"]);
const RUNS = new Set(["running", "awaited"]);
const MANY_PASSES = 8;

/**
 * The answer by column, with what every view asks for: where a row's descendants end, sums, what failed.
 *
 * `sums` of a row are its own numbers or those of what
 * hangs below, whichever is more: two instrumentations may report one call, and it is counted once.
 */
export function decode({ columns, interned, strings, origin_ns: originNs, max_seq: maxSeq }) {
  const size = columns.depth.length;
  const column = {};
  for (const [name, values] of Object.entries(columns)) column[name] = values ?? new Array(size).fill(null);
  for (const name of interned) column[name] = column[name].map((it) => (it === null ? null : strings[it]));
  column.start_ms = column.start_ms.map((it) => it ?? 0); // without a start it stands at the beginning
  const tree = { size, column, maxSeq, originMs: originNs / 1e6, end: endsOf(column.depth) };
  tree.failed = Uint8Array.from(column.status, (it, i) => (FAILED.has(it) && !column.synthetic[i] ? 1 : 0));
  tree.failedBefore = prefixSums(tree.failed);
  tree.spansBefore = prefixSums(Uint8Array.from(column.synthetic, (it) => (it ? 0 : 1)));
  tree.running = column.status.some((it) => it === "running");
  tree.lastMs = column.start_ms.reduce((last, start, i) => Math.max(last, start + (column.duration_ms[i] ?? 0)), 0);
  tree.folded = foldedAtFirst(tree);
  tree.sums = sumsOf(tree);
  return tree;
}

/** For each row the index behind its last descendant. */
function endsOf(depths) {
  const ends = new Int32Array(depths.length);
  const open = [];
  for (let i = 0; i <= depths.length; i += 1) {
    while (open.length && (i === depths.length || depths[open.at(-1)] >= depths[i])) ends[open.pop()] = i;
    if (i < depths.length) open.push(i);
  }
  return ends;
}

function prefixSums(flags) {
  const sums = new Uint32Array(flags.length + 1);
  for (let i = 0; i < flags.length; i += 1) sums[i + 1] = sums[i] + flags[i];
  return sums;
}

/** Passes of a loop with many, in which nothing failed and nothing runs. */
function foldedAtFirst(tree) {
  const { column, size } = tree;
  const passes = new Map();
  for (let i = 0; i < size; i += 1) {
    if (column.synthetic[i] === 1) passes.set(column.parent[i], (passes.get(column.parent[i]) ?? 0) + 1);
  }
  const folded = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) {
    const many = column.synthetic[i] === 1 && passes.get(column.parent[i]) > MANY_PASSES;
    folded[i] = many && !failedBelow(tree, i) && !runsBelow(tree, i) ? 1 : 0;
  }
  return folded;
}

function runsBelow({ column, end }, i) {
  for (let at = i; at < end[i]; at += 1) if (RUNS.has(column.status[at])) return true;
  return false;
}

const SUMMED = ["prompt_tokens", "completion_tokens", "total_tokens", "cost_usd"];

function sumsOf({ column, size }) {
  const sums = { computed: Array.from(column.computed, Boolean) };
  for (const name of SUMMED) {
    const own = column[name];
    const below = new Array(size).fill(null);
    for (let i = size - 1; i >= 0; i -= 1) {
      const value = own[i] === null && below[i] === null ? null : Math.max(own[i] ?? 0, below[i] ?? 0);
      const parent = column.parent[i];
      if (value !== null && parent >= 0) below[parent] = (below[parent] ?? 0) + value;
      below[i] = value;
    }
    sums[name] = below;
  }
  for (let i = size - 1; i >= 0; i -= 1) {
    if (sums.computed[i] && column.parent[i] >= 0) sums.computed[column.parent[i]] = true;
  }
  return sums;
}

/** A row as an object. */
export function rowOf(tree, i) {
  const row = { index: i };
  for (const [name, values] of Object.entries(tree.column)) row[name] = values[i];
  return row;
}

/** What names a span for as long as it is stored: rows move when spans come in between. */
export const keyOf = (tree, i) => `${tree.column.trace_id[i]}-${tree.column.span_id[i]}`;

/** The row of a key; -1 when there is none. */
export function indexOf(tree, key) {
  const [trace, span] = (key ?? "").split("-");
  const { span_id: spans, trace_id: traces } = tree.column;
  for (let i = spans.indexOf(span); i >= 0; i = spans.indexOf(span, i + 1)) if (traces[i] === trace) return i;
  return -1;
}

export const hasChildren = (tree, i) => tree.end[i] > i + 1;
export const below = (tree, i) => tree.end[i] - i - 1;
export const spansBelow = (tree, i) => tree.spansBefore[tree.end[i]] - tree.spansBefore[i + 1];
export const failedBelow = (tree, i) => tree.failedBefore[tree.end[i]] - tree.failedBefore[i + 1];

/**
 * Whether a row's children are hidden. `folding` is `{all, toggled}`: all is null (loops with many passes only),
 * true or false; `toggled` has what somebody did since, by key.
 */
export function isFolded(tree, folding, i) {
  if (!hasChildren(tree, i)) return false;
  const toggled = folding.toggled.size ? folding.toggled.get(keyOf(tree, i)) : undefined;
  if (toggled !== undefined) return toggled;
  return folding.all === null ? Boolean(tree.folded[i]) : folding.all && tree.column.depth[i] > 0;
}

/** The rows that are not below a folded one. */
export function shownRows(tree, folding) {
  const shown = [];
  for (let i = 0; i < tree.size; i = isFolded(tree, folding, i) ? tree.end[i] : i + 1) shown.push(i);
  return shown;
}

/** The same folding, in which a row can be seen. */
export function opened(tree, folding, i) {
  const toggled = new Map(folding.toggled);
  for (let at = tree.column.parent[i]; at >= 0; at = tree.column.parent[at]) toggled.set(keyOf(tree, at), false);
  return { ...folding, toggled };
}

/** The next row that failed, behind `from` or from the top again; -1 when none did. */
export function nextFailed(tree, from) {
  const behind = tree.failed.indexOf(1, from + 1);
  return behind >= 0 ? behind : tree.failed.indexOf(1);
}

/** The next row whose name, model or error has a text in it; -1 when none has. */
export function nextMatch(tree, text, from) {
  const wanted = text.toLowerCase();
  const { name, node_name: node, model, error } = tree.column;
  const has = (value) => typeof value === "string" && value.toLowerCase().includes(wanted);
  for (let step = 1; step <= tree.size; step += 1) {
    const i = (from + step) % tree.size;
    if (has(name[i]) || has(node[i]) || has(model[i]) || has(error[i])) return i;
  }
  return -1;
}

/** Where failures began: failed rows with no failed row below them. */
export function causes(tree, limit) {
  const found = [];
  for (let i = tree.failed.indexOf(1); i >= 0 && found.length < limit; i = tree.failed.indexOf(1, i + 1)) {
    if (!failedBelow(tree, i)) found.push(i);
  }
  return found;
}
