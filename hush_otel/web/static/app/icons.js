// Icons as shapes, drawn in the colour of the text around them. 16 by 16, stroked.
import { html } from "./dom.js";

const SHAPES = {
  llm: "M8 1.8 9.6 6.4 14.2 8 9.6 9.6 8 14.2 6.4 9.6 1.8 8 6.4 6.4Z",
  embedding: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z",
  tool: "M13.6 4.2a3.4 3.4 0 0 1-4.6 4L4.2 13a1.5 1.5 0 0 1-2.2-2.2L6.8 6a3.4 3.4 0 0 1 4-4.6L8.9 3.6l.4 2.1 2.1.4Z",
  agent: "M3 6h10v7H3zM8 6V3M8 3a.8.8 0 1 0 0-1.6A.8.8 0 0 0 8 3M6 9v1.2M10 9v1.2M1.2 8.5v2M14.8 8.5v2",
  chain: "M6.6 9.4a2.8 2.8 0 0 0 4 0l2.1-2.1a2.8 2.8 0 0 0-4-4l-.8.8M9.4 6.6a2.8 2.8 0 0 0-4 0L3.3 8.7a2.8 2.8 0 0 0 4 4l.8-.8",
  retriever: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14",
  reranker: "M4.5 2.5v11M4.5 13.5 2 11M4.5 13.5 7 11M9.5 4h5M9.5 8h3.5M9.5 12h2",
  guardrail: "M8 1.6 13.4 3.6v4c0 3.2-2.2 5.6-5.4 6.8-3.2-1.2-5.4-3.6-5.4-6.8v-4Z",
  evaluator: "M2.5 8.5 6 12 13.5 4",
  prompt: "M2.5 3h11v8h-6l-3 2.6V11h-2Z",
  event: "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8Z",
  iteration: "M13.4 6.2A5.6 5.6 0 0 0 3.2 5M2.6 9.8A5.6 5.6 0 0 0 12.8 11M3 2v3.2h3.2M13 14v-3.2H9.8",
  loop: "M13.4 6.2A5.6 5.6 0 0 0 3.2 5M2.6 9.8A5.6 5.6 0 0 0 12.8 11M3 2v3.2h3.2M13 14v-3.2H9.8",
  http: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM2 8h12M8 2c2.4 2.2 2.4 9.8 0 12M8 2c-2.4 2.2-2.4 9.8 0 12",
  span: "M2.5 8h11M2.5 5.5v5M13.5 5.5v5",
  ok: "M3 8.5 6.5 12 13 4.5",
  error: "M4 4l8 8M12 4l-8 8",
  running: "M8 2a6 6 0 1 1-6 6",
  interrupted: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM4 12l8-8",
  awaited: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Z",
  missing: "M3 8h2M7 8h2M11 8h2",
  waiting: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.8V8l2.2 1.6",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
  right: "M6 3.5 10.5 8 6 12.5",
  left: "M10 3.5 5.5 8l4.5 4.5",
  fold: "M6 3.5 10.5 8 6 12.5",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.6 10.6 14 14",
  filter: "M2 3.5h12L9.5 8.7v4.8l-3-1.5V8.7Z",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M3.2 12.8l1.1-1.1M11.7 4.3l1.1-1.1",
  moon: "M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7Z",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.2 6.3a1.9 1.9 0 1 1 2.6 1.8c-.6.2-.8.6-.8 1.2M8 11.4v.1",
  compare: "M4.5 2.5v11M11.5 2.5v11M2 5l2.5-2.5L7 5M9 11l2.5 2.5L14 11",
  retry: "M13.2 8A5.2 5.2 0 1 1 11.6 4.2L13.2 5.8M13.2 2.4v3.4H9.8",
  flow: "M2 4.5h4.5a3 3 0 0 1 3 3v4M6.8 9l2.7 2.7L12.2 9",
};

/** One icon. Without `label` it is decoration, and whoever cannot see it is not told of it. */
export function Icon({ of, label, className = "" }) {
  const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`<svg class=${`icon ${className}`} viewBox="0 0 16 16" ...${named}><path d=${SHAPES[of] ?? SHAPES.span} /></svg>`;
}

const TYPES = ["llm", "embedding", "tool", "agent", "chain", "retriever", "reranker", "guardrail", "evaluator", "prompt", "event", "iteration", "loop", "http"];
const SAME = { generation: "llm", workflow: "chain", task: "chain", graph: "chain", branch: "chain", parser: "chain", rerank: "reranker", retrieval: "retriever", code: "tool", function: "tool" };

/** The colour and icon of a node's type: fixed, so that a colour means the same everywhere. */
export function typeOf(span) {
  if (span.synthetic === 1) return "iteration";
  const given = String(span.type ?? "").toLowerCase();
  const known = Object.hasOwn(SAME, given) ? SAME[given] : given;
  if (TYPES.includes(known)) return known;
  if (span.model) return "llm";
  return ["SERVER", "CLIENT"].includes(span.kind) ? "http" : "span";
}

export function TypeIcon({ type, label }) {
  return html`<${Icon} of=${type} label=${label} className=${`type-${type}`} />`;
}

export const STATUS_WORDS = { ok: "ok", error: "failed", running: "running", interrupted: "interrupted", awaited: "not ended yet", missing: "not stored" };

/** A status by shape and by word, never by colour alone. */
export function StatusIcon({ status, label }) {
  const known = Object.hasOwn(STATUS_WORDS, status) ? status : "ok";
  return html`<${Icon} of=${known} label=${label ?? STATUS_WORDS[known]} className=${`status-${known}`} />`;
}
