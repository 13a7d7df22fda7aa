// Change: the configuration in an editor beside today's, its plan, and Apply, which does what the plan has shown.
import * as api from "./api.js";
import { may, patternsOf } from "./callers.js";
import { Editor } from "./editor.js";
import { dated } from "./figures.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { PlanPicture } from "./plan.js";
import { words } from "./words.js";

const CHECK_MS = 500;
const MAX_CHECKED = 200_000; // characters that are sent while somebody types
const MAX_ASKED = 8; // workflows whose clients are asked for, to say their names
const NO_LANGUAGE = { steps: [] };

// Names of the workflows that a text defines, as far as their lines look as they usually do.
export function workflowsIn(text) {
  return [...text.matchAll(/^[ \t]*workflow[ \t]+([^\s{]+)/gm)].map(([, name]) => name);
}

function History({ changes, onRestore }) {
  return html`<section aria-labelledby="history">
    <h2 id="history">${words.history}</h2>
    ${changes.length === 0 && html`<p>${words.noHistory}</p>`}
    <ol class="rows">
      ${changes.map(
        (each) => html`<li key=${each.id}>
          <time datetime=${each.time}>${dated(each.time)}</time>
          <strong>${words.changedBy(each)}</strong>
          <span>${words.changeWords(each)}</span>
          <span class="hint">${words.ended(each)}</span>
          ${each.workflows.some((one) => one.action !== "kick") &&
          html`<button aria-label=${words.restoreBefore(each.id)} onClick=${() => onRestore(each.id, "before")}>${words.before}</button>
            <button aria-label=${words.restoreAfter(each.id)} onClick=${() => onRestore(each.id, "after")}>${words.after}</button>`}
        </li>`,
      )}
    </ol>
  </section>`;
}

const problemsOf = (refused) =>
  refused.problems.length > 0 ? refused.problems : [{ line: null, column: null, message: refused.message, hint: null }];

async function clientsOf(plan) {
  const names = [...new Set(plan.cuts.filter((cut) => cut.publishers + cut.watchers > 0).map((cut) => cut.workflow))];
  const pages = await Promise.all(names.slice(0, MAX_ASKED).map((name) => api.clientsOf(name).catch(() => ({ clients: [] }))));
  return pages.flatMap((page) => page.clients);
}

function Problems({ problems, wasChecked }) {
  return html`<div id="problems" class="problems" role="status">
    ${problems.length > 0
      ? html`<ul>${problems.map(
          (each) => html`<li>${words.problemAt(each)}${each.message}${each.hint && !each.message.includes(each.hint) && html` <span class="hint">${each.hint}</span>`}</li>`,
        )}</ul>`
      : wasChecked && html`<p class="good">${words.noProblems}</p>`}
  </div>`;
}

function PlanRegion({ planned, isOutdated, busy, refusal, applied, limit, onLimit, onApply }) {
  return html`<section aria-labelledby="plan-title" class="plan" aria-busy=${busy ? "true" : "false"}>
    <h2 id="plan-title">${words.plan}</h2>
    <div role="status">
      ${busy && html`<p>${busy}</p>`}
      ${refusal && html`<p class="problem"><strong>${words.refusedTitle}.</strong> ${refusal}</p>`}
      ${applied && html`<p class="good">${words.applied}</p>`}
      ${planned === null && !busy && !refusal && html`<p class="hint">${words.noPlanYet}</p>`}
      ${planned !== null && html`<p class="sentence">${planned.plan.summary}</p>`}
      ${planned !== null && isOutdated && !applied && html`<p class="hint">${words.outdated}</p>`}
    </div>
    ${planned !== null && html`<${PlanPicture} plan=${planned.plan} clients=${planned.clients} />`}
    ${planned !== null && !applied && planned.plan.changed &&
    html`<p class="limit"><label for="limit">${words.atMost}</label>
      <input id="limit" type="number" min="0" max="999999" value=${limit} onInput=${(event) => onLimit(event.target.value)} /></p>`}
    <button class="primary" disabled=${planned === null || isOutdated || applied || busy !== "" || !planned.plan.changed}
      onClick=${onApply}>${words.apply}</button>
  </section>`;
}

export function Change({ caller }) {
  const canRead = may(caller, "read");
  const patterns = patternsOf(caller);
  const [language, setLanguage] = useState(NO_LANGUAGE);
  const [today, setToday] = useState("");
  const [text, setText] = useState("");
  const [isReading, setReading] = useState(true); // today's text is to come: what was written before would mix with it
  const [prune, setPrune] = useState(false);
  const [checked, setChecked] = useState({ text: null, problems: [] });
  const [planned, setPlanned] = useState(null);
  const [busy, setBusy] = useState("");
  const [refusal, setRefusal] = useState("");
  const [limit, setLimit] = useState("0");
  const [applied, setApplied] = useState(false);
  const [trouble, setTrouble] = useState(""); // why today's text could not be read
  const [changes, setChanges] = useState([]);
  const written = useRef(false); // whether somebody has put another text there

  async function readToday() {
    try {
      const { document } = await api.configuration();
      setToday(document);
      if (!written.current) setText(document);
      setReading(false);
      setTrouble("");
      const latest = await api.changes().catch(() => null);
      if (latest !== null) setChanges(latest);
    } catch (refused) {
      // What was read last stays: words of an error are no text to start over with.
      setTrouble(refused.status === 0 ? words.unreachable : refused.message);
      setReading(false);
    }
  }

  useEffect(() => {
    readToday();
    api.language().then(setLanguage, () => {});
  }, []);

  // While somebody types, the server's own parser says what is wrong with it.
  useEffect(() => {
    if (text.trim() === "" || text === today || text.length > MAX_CHECKED) return setChecked({ text: null, problems: [] });
    let isCurrent = true;
    const timer = setTimeout(async () => {
      let problems = [];
      try {
        problems = (await api.plan(text, { prune })).document.problems ?? [];
      } catch (refused) {
        if (refused.status === 0 || refused.status === 401) return;
        problems = problemsOf(refused);
      }
      if (isCurrent) setChecked({ text, problems });
    }, CHECK_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [text, prune, today]);

  function write(wanted) {
    written.current = true;
    setText(wanted);
    setApplied(false);
    setRefusal("");
  }

  // An earlier text is planned and applied as any other: nothing is taken back unseen.
  async function restore(id, moment) {
    try {
      write((await api.change(id))[moment]);
      setPlanned(null);
      document.getElementById("configuration").focus();
    } catch (refused) {
      setRefusal(refused.status === 0 ? words.unreachable : refused.message);
    }
  }

  function startOver() {
    written.current = false;
    setText(today);
    setPlanned(null);
    setApplied(false);
    setRefusal("");
    readToday();
  }

  async function makePlan() {
    if (isReading) return;
    setBusy(words.planning);
    setRefusal("");
    setApplied(false);
    try {
      const { document: plan, etag } = await api.plan(text, { prune });
      const clients = canRead ? await clientsOf(plan) : [];
      setPlanned({ plan, etag, text, prune, clients });
      setLimit(String(plan.publishers + plan.watchers));
      setChecked({ text, problems: plan.problems ?? [] });
    } catch (refused) {
      setPlanned(null);
      setRefusal(refused.status === 0 ? words.unreachable : refused.message);
      if (refused.problems.length > 0) setChecked({ text, problems: refused.problems });
    }
    setBusy("");
  }

  async function apply() {
    setBusy(words.applying);
    setRefusal("");
    try {
      await api.apply(planned.text, { prune: planned.prune }, planned.etag, limit || "0");
      setApplied(true);
      written.current = false;
      await readToday();
    } catch (refused) {
      if (refused.status === 412) setRefusal(words.changedMeanwhile);
      else if (refused.document.refused_by === "max_disconnects") setRefusal(words.moreCut(refused.document));
      else setRefusal(refused.status === 0 ? words.unreachable : refused.message);
    }
    setBusy("");
  }

  const isOutdated = planned !== null && (planned.text !== text || planned.prune !== prune);
  const there = new Set(workflowsIn(text));
  const leftOut = workflowsIn(today).filter((each) => !there.has(each));
  return html`
    <h1>${words.place.change}</h1>
    ${!patterns.includes("*") && html`<p class="hint">${words.onlySome(patterns)}</p>`}
    <div role="alert">${trouble && html`<p class="problem"><strong>${words.notRead}</strong> ${trouble}</p>`}</div>
    <div class="side-by-side">
      <div>
        <h2><label for="configuration">${words.configuration}</label></h2>
        <${Editor} value=${text} language=${language} problems=${checked.problems} isReading=${isReading} onInput=${write}
          onPlan=${makePlan} />
        <${Problems} problems=${checked.problems} wasChecked=${checked.text === text} />
        ${leftOut.length > 0 &&
        html`<div class="left-out">
          ${!prune && html`<p>${words.leftOut(leftOut)}</p>`}
          <label><input type="checkbox" checked=${prune} onChange=${(event) => setPrune(event.target.checked)} /> ${words.prune}</label>
        </div>`}
        <p class="buttons">
          <button class="primary" disabled=${isReading || busy !== ""} onClick=${makePlan}>${words.plan}</button>
          <button onClick=${startOver}>${words.startOver}</button>
        </p>
      </div>
      <section aria-labelledby="today">
        <h2 id="today">${words.today}</h2>
        <pre class="today" tabindex="0" aria-labelledby="today">${today}</pre>
      </section>
    </div>
    <${PlanRegion} planned=${planned} isOutdated=${isOutdated} busy=${busy} refusal=${refusal} applied=${applied} limit=${limit}
      onLimit=${setLimit} onApply=${apply} />
    <${History} changes=${changes} onRestore=${restore} />`;
}
