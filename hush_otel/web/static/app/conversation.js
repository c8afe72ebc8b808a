// Messages of a model call, as a conversation.
import { html } from "./dom.js";
import { CopyButton } from "./copy.js";
import { name } from "./format.js";
import { Icon } from "./icons.js";
import { Text } from "./payload.js";

const ROLES = { system: "System", developer: "Developer", user: "User", human: "User", assistant: "Assistant", ai: "Assistant", tool: "Tool", function: "Tool" };

export function Conversation({ input, output }) {
  return html`<ol class="conversation">
    ${input.map((message, i) => html`<${Message} key=${`i${i}`} ...${message} />`)}
    ${output.map((message, i) => html`<${Message} key=${`o${i}`} isOutput=${true} ...${message} />`)}
  </ol>`;
}

function Message({ role, content, calls, answers, finish_reason: reason, cut, isOutput }) {
  const known = Object.hasOwn(ROLES, role) ? ROLES[role] : name(role, 40);
  const css = known === "Assistant" ? "assistant" : known === "User" ? "user" : known === "Tool" ? "tool-message" : "system";
  return html`<li class=${`message ${css} ${isOutput ? "output" : ""}`}>
    <header>
      <b>${known}</b>
      ${answers && html`<span class="muted">answers <code>${name(answers, 60)}</code></span>`}
      ${isOutput && html`<span class="muted">answered${reason && `, ${name(reason, 40)}`}</span>`}
      <span class="spring" />
      ${content && html`<${CopyButton} text=${content} what="the message" />`}
    </header>
    ${content && html`<${Text} text=${content} limit=${900} />`}
    ${cut && html`<p class="muted">The message goes on: see the whole below.</p>`}
    ${(calls ?? []).map((call, i) => html`<div class="call" key=${i}>
      <${Icon} of="tool" className="type-tool" /><code>${name(call.name, 80)}</code>${call.id && html`<span class="muted">${name(call.id, 60)}</span>`}
      <${Text} text=${pretty(call.arguments)} limit=${600} />
    </div>`)}
  </li>`;
}

function pretty(text) {
  if (typeof text !== "string") return text === null || text === undefined ? "" : JSON.stringify(text, null, 2);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
