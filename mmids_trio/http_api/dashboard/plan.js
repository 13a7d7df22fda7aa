// A plan as a picture: each workflow with its line of steps, what happens to each of them, and who would be cut.
import { html } from "./html.js";
import { words } from "./words.js";

const MOST_NAMES = 6;

const nameOf = (client) => [client.address, client.agent || client.protocol].filter(Boolean).join(" · ");

function parametersOf(step) {
  return Object.entries(step.parameters).map(([name, value]) => (value === null ? name : `${name}=${value}`));
}

const shown = (value) => (value === null ? "–" : value === true ? "✓" : value);

function Cut({ cut, clients }) {
  if (!cut || cut.publishers + cut.watchers === 0) return null;
  // Of a step that runs on nobody knows who of its clients would be excluded until it is done.
  const named = cut.of ? [] : clients.filter((each) => each.workflow === cut.workflow && each.step_id === cut.step_id);
  const more = cut.publishers + cut.watchers - Math.min(named.length, MOST_NAMES);
  return html`<div class="cut">
    <strong>${words.cut(cut.publishers, cut.watchers)}${cut.of && ` ${words.cutOf(cut.of.publishers + cut.of.watchers)}`}</strong>
    ${named.length > 0 &&
    html`<ul aria-label=${words.cutNames}>
      ${named.slice(0, MOST_NAMES).map((client) => html`<li>${words.role[client.role]}: ${nameOf(client)}</li>`)}
      ${more > 0 && html`<li>${words.moreNames(more)}</li>`}
    </ul>`}
  </div>`;
}

function Step({ step, cut, clients }) {
  return html`<li class=${`step ${step.action}`}>
    <span class="mark">${words.mark[step.action]}</span>
    <strong>${step.step_type}</strong>
    <ul class="parameters">${parametersOf(step).map((each) => html`<li>${each}</li>`)}</ul>
    ${(step.changes ?? []).map((each) => html`<p class="change">${each.name}: ${shown(each.before)} → ${shown(each.after)}</p>`)}
    <${Cut} cut=${cut} clients=${clients} />
  </li>`;
}

function PlannedWorkflow({ view, cuts, clients }) {
  const word = view.created ? words.workflowNew : words.workflowChanged;
  // A step that changes in place is cut under the id that it has so far.
  const cutOf = (step) =>
    step.action === "stop" ? cuts.get(step.step_id) : step.action === "change" ? cuts.get(step.step_id_before) : undefined;
  return html`<li>
    <h3>${view.workflow} <span class=${`badge ${view.created ? "start" : "change"}`}>${word}</span></h3>
    ${view.taken_from && html`<p class="hint">${words.takenFrom(view.taken_from)}</p>`}
    <ol class="line">
      ${view.steps.map((step) => html`<${Step} step=${step} cut=${cutOf(step)} clients=${clients} />`)}
    </ol>
  </li>`;
}

function Deleted({ name, cuts, clients }) {
  return html`<li>
    <h3>${name} <span class="badge stop">${words.workflowGone}</span></h3>
    <ol class="line">
      ${cuts.map((cut) => html`<${Step} step=${{ ...cut, action: "stop" }} cut=${cut} clients=${clients} />`)}
    </ol>
  </li>`;
}

// `clients`: those of the workflows that the plan changes, as far as they are known.
export function PlanPicture({ plan, clients }) {
  const cutsOf = (workflow) => plan.cuts.filter((cut) => cut.workflow === workflow);
  const byStep = (workflow) => new Map(cutsOf(workflow).map((cut) => [cut.step_id, cut]));
  const unchanged = plan.workflows.filter((view) => !view.changed);
  const reactors = plan.reactors.filter((reactor) => reactor.action !== "keep");
  return html`
    ${reactors.length > 0 &&
    html`<ul class="reactors">${reactors.map(
      (each) => html`<li>${words.reactor} ${each.name} <span class=${`badge ${each.action}`}>${words.mark[each.action]}</span></li>`,
    )}</ul>`}
    <ul class="planned">
      ${plan.workflows
        .filter((view) => view.changed)
        .map((view) => html`<${PlannedWorkflow} view=${view} cuts=${byStep(view.workflow)} clients=${clients} />`)}
      ${plan.deleted.map((name) => html`<${Deleted} name=${name} cuts=${cutsOf(name)} clients=${clients} />`)}
    </ul>
    ${unchanged.length > 0 && html`<p class="hint">${words.workflowKept}: ${unchanged.map((view) => view.workflow).join(", ")}</p>`}`;
}
