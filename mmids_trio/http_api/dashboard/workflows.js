// All workflows, and one of them as a line of steps: what flows through it, who uses it, and what can be done at once.
import * as api from "./api.js";
import { may, mayChange } from "./callers.js";
import { html, useEffect, useState } from "./html.js";
import { bytes, since } from "./figures.js";
import { TryIt } from "./try.js";
import { words } from "./words.js";

function Failed({ reason }) {
  return html`<span class="state failed">${words.failed}</span> <span class="problem">${reason}</span>`;
}

export function Workflows({ overview }) {
  if (overview === null) return html`<p role="status">${words.loading}</p>`;
  return html`
    <h1>${words.workflows}</h1>
    ${overview.workflows.length === 0 && html`<p>${words.noWorkflows}</p>`}
    <ul class="rows">
      ${overview.workflows.map(
        (each) => html`<li key=${each.name}>
          <a href="#/workflows/${encodeURIComponent(each.name)}"><strong>${each.name}</strong></a>
          ${each.state === "error" ? html`<${Failed} reason=${each.reason} />` : html`<span class="state live">${words.running}</span>`}
          <span class="hint">${each.steps.join(" → ")}</span>
          <span class="hint">${words.publishers(each.publishers)} · ${words.watchers(each.watchers)} · ${words.owner(each.owner)}</span>
        </li>`,
      )}
    </ul>`;
}

const BAN_SECONDS = 3600;

// The names that a step can be switched to: those of its sources.
function sourcesOf(step) {
  if (step.step_type !== "failover") return [];
  const { primary, backup } = step.parameters;
  return [primary, ...(backup ?? "").split(",").map((each) => each.trim())].filter(Boolean);
}

function Step({ workflow, step, counts, canChange, onDone }) {
  const sending = (step.streams ?? []).map((each) => each.state);
  return html`<li class=${`step ${step.state === "error" ? "stop" : ""}`}>
    <strong>${step.step_type}</strong>
    ${step.state === "error" && html`<p class="problem">${step.reason ?? step.status}</p>`}
    <ul class="parameters" aria-label=${words.parameters}>
      ${Object.entries(step.parameters).map(([name, value]) => html`<li>${value === null ? name : `${name}=${value}`}</li>`)}
    </ul>
    ${counts && html`<dl class="counts">
      ${Object.entries(words.count)
        .filter(([name]) => counts[name] !== undefined)
        .map(([name, word]) => html`<div><dt>${word}</dt><dd>${words.countOf(name, counts[name])}</dd></div>`)}
    </dl>`}
    ${(step.streams ?? []).map(
      (each) => html`<p class="stream"><strong>${each.name}</strong> ${each.message}
        ${each.last_error && html`<span class="problem">${each.last_error}</span>`}</p>`,
    )}
    ${canChange &&
    sourcesOf(step).map(
      (source) => html`<button disabled=${sending.includes(source)}
        onClick=${() => onDone(api.switchSource(workflow, step.step_id, source))}>${words.switchTo(source)}</button>`,
    )}
  </li>`;
}

function Clients({ clients, canKick, onDone }) {
  if (clients.length === 0) return html`<p>${words.noClients}</p>`;
  const heads = ["role", "address", "agent", "stream", "since", "sent", "lag"];
  const cell = (head, text) => html`<td role="cell" data-head=${words.column[head]}>${text}</td>`;
  // On a phone each row is a block of its own; the roles say that it is a table all the same.
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${words.clients}><table role="table">
    <thead role="rowgroup"><tr role="row">
      ${heads.map((each) => html`<th scope="col" role="columnheader">${words.column[each]}</th>`)}${canKick && html`<td role="cell"></td>`}
    </tr></thead>
    <tbody role="rowgroup">
      ${clients.map(
        (each) => html`<tr key=${each.id} role="row">
          ${cell("role", words.role[each.role])}
          ${cell("address", `${each.address}:${each.port}`)}
          ${cell("agent", each.agent || each.protocol)}
          ${cell("stream", each.name)}
          ${cell("since", since(each.since))}
          ${cell("sent", bytes(each.bytes))}
          ${cell("lag", each.role === "watcher" ? `${each.lag_ms} ms` : "")}
          ${canKick &&
          html`<td role="cell" class="acts"><button aria-label=${words.kickOf(`${each.address}:${each.port}`)} onClick=${() => onDone(api.kick(each.id))}>
            ${words.kick}</button>
            <button aria-label=${words.banOf(each.address)} onClick=${() => onDone(api.kick(each.id, BAN_SECONDS))}>${words.ban}</button></td>`}
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

export function Workflow({ name, live, overview, caller }) {
  const [status, setStatus] = useState(null);
  const [clients, setClients] = useState([]);
  const [now, setNow] = useState({ counts: {}, ports: {} });
  const [problem, setProblem] = useState("");

  async function read() {
    try {
      const [seen, page, steps] = await Promise.all([api.workflow(name), api.clientsOf(name), api.stepsOf(name)]);
      setStatus(seen);
      setClients(page.clients);
      setNow(steps);
    } catch (refused) {
      setStatus(null);
      setProblem(refused.status ? refused.message : words.unreachable);
    }
  }
  useEffect(() => {
    read();
  }, [overview]);

  async function after(done) {
    setProblem("");
    try {
      await done;
    } catch (refused) {
      setProblem(refused.status ? refused.message : words.unreachable);
    }
    live.refresh();
  }

  const stop = () => confirm(words.stopSure(name)) && after(api.stopWorkflow(name));
  const canChange = mayChange(caller, name);
  return html`
    <h1>${name}</h1>
    <p><a href="#/workflows">${words.back}</a></p>
    <p class="problem" role="alert">${problem}</p>
    ${status !== null &&
    html`
      <p>${status.state === "error" ? html`<${Failed} reason=${status.reason} />` : html`<span class="state live">${words.running}</span>`}
        ${" "}<span class="hint">${words.owner(status.owner)}</span></p>
      <section aria-labelledby="steps">
        <h2 id="steps">${words.steps}</h2>
        <ol class="line">
          ${status.active_steps.map(
            (step) => html`<${Step} key=${step.step_id} workflow=${name} step=${step} counts=${now.counts[step.step_id]}
              canChange=${canChange} onDone=${after} />`,
          )}
        </ol>
      </section>
      <section aria-labelledby="clients">
        <h2 id="clients">${words.clients}</h2>
        <${Clients} clients=${clients} canKick=${may(caller, "kick")} onDone=${after} />
      </section>
      <${TryIt} workflow=${name} steps=${status.active_steps} ports=${now.ports} canSign=${canChange} />
      ${canChange && html`<p class="last"><button class="danger" onClick=${stop}>${words.stopWorkflow}</button></p>`}`}`;
}
