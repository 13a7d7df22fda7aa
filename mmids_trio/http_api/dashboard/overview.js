// What is on the air: warnings with what to do, then a card for each stream.
import * as api from "./api.js";
import { html, useEffect, useState } from "./html.js";
import { Preview } from "./preview.js";
import { rate, since } from "./figures.js";
import { words } from "./words.js";

const SHOWN_AT_ONCE = 60; // cards; hundreds of them are for the search
const DISK_SECONDS = 6 * 3600; // before it is full, somebody hears of it
const DISK_SECONDS_BAD = 3600;
const PICTURE_MS = 10_000; // how often the server makes another one

// What somebody should do something about, the worst first.
export function warningsOf(overview) {
  const say = words.warning;
  const found = overview.reasons.map((reason) => ({ text: say.notReady(reason), hint: "", level: "bad" }));
  for (const disk of overview.disks.filter((each) => each.seconds_left !== null && each.seconds_left < DISK_SECONDS)) {
    found.push({ text: say.disk(disk), hint: say.diskHint, level: disk.seconds_left < DISK_SECONDS_BAD ? "bad" : "warn" });
  }
  for (const workflow of overview.workflows) {
    if (workflow.state === "error") {
      found.push({ text: say.workflow(workflow.name, workflow.reason), hint: say.workflowHint, level: "bad" });
    }
    for (const target of workflow.targets.filter((each) => !each.is_up)) {
      const why = target.last_error ?? target.message;
      found.push({ text: say.target(target.name, target.target, why), hint: say.targetHint, level: "bad" });
    }
  }
  for (const stream of overview.streams) {
    if (stream.state === "interrupted") {
      found.push({ text: say.interrupted(stream.name, stream.seconds_left ?? 0), hint: say.interruptedHint, level: "warn" });
    } else if (stream.state === "stalled") {
      found.push({ text: say.stalled(stream.name), hint: say.stalledHint, level: "warn" });
    }
    // What the server finds wrong with media, in its words.
    for (const each of stream.warnings) found.push({ text: say.media(stream.name, each.text), hint: each.remedy, level: "warn" });
  }
  return found;
}

function Warnings({ overview }) {
  const found = warningsOf(overview);
  return html`<section aria-labelledby="warnings" class="warnings">
    <h2 id="warnings">${words.warnings}</h2>
    ${found.length === 0
      ? html`<p class="good">${words.allWell}</p>`
      : html`<ul>${found.map((each) => html`<li class=${each.level}><strong>${each.text}</strong> ${each.hint}</li>`)}</ul>`}
  </section>`;
}

export function Sparkline({ rates, label }) {
  const most = Math.max(...rates, 1);
  const step = 100 / Math.max(rates.length - 1, 1);
  const points = rates.map((each, place) => `${(place * step).toFixed(1)},${(28 - (18 * each) / most).toFixed(1)}`);
  return html`<svg class="sparkline" role="img" aria-label=${label} viewBox="0 0 100 30" preserveAspectRatio="none">
    <polyline points=${points.join(" ")} />
  </svg>`;
}

// What is left of so many seconds, as they go by.
function useCountdown(secondsLeft) {
  const [seconds, setSeconds] = useState(secondsLeft);
  useEffect(() => {
    setSeconds(secondsLeft);
    if (secondsLeft === null || secondsLeft === undefined) return;
    const end = Date.now() + 1000 * secondsLeft;
    const timer = setInterval(() => setSeconds(Math.max(0, (end - Date.now()) / 1000)), 1000);
    return () => clearInterval(timer);
  }, [secondsLeft]);
  return seconds;
}

export function State({ state, secondsLeft }) {
  const seconds = useCountdown(secondsLeft);
  const left = seconds === null || seconds === undefined ? "" : ` · ${words.secondsLeft(seconds)}`;
  return html`<span class="state ${state}">${words.state[state] ?? state}${left}</span>`;
}

// What the stream looks like, as the server makes pictures of it; none while it has not made one. It moves while somebody
// points at it, and from a click or tap to the next one.
function Picture({ stream, shown, onShow }) {
  const [failed, setFailed] = useState(null);
  const moment = Math.floor(Date.now() / PICTURE_MS);
  if (stream.video === null) return html`<div class="picture"><span class="said">${words.noPicture}</span></div>`;
  const isShown = shown?.id === stream.id;
  const point = (event, id) => event.pointerType === "mouse" && !shown?.isKept && onShow(id && { id, isKept: false });
  return html`<button class="picture" aria-pressed=${String(isShown)} aria-label=${words.previewOf(stream.name)}
    onPointerEnter=${(event) => point(event, stream.id)} onPointerLeave=${(event) => point(event, null)}
    onClick=${() => onShow(isShown && shown.isKept ? null : { id: stream.id, isKept: true })}>
    ${failed !== moment &&
    html`<img loading="lazy" alt="" src=${api.thumbnail(stream.id, moment)} onError=${() => setFailed(moment)} />`}
    ${isShown && html`<${Preview} stream=${stream} />`}
  </button>`;
}

function sourceOf({ publisher }) {
  if (publisher === null) return "–";
  if (publisher.location) return publisher.location;
  return [publisher.address, publisher.agent || publisher.protocol].filter(Boolean).join(" · ");
}

function Card({ stream, rates, targets, shown, onShow }) {
  const watchers = Object.entries(stream.watchers);
  const total = watchers.reduce((sum, [, number]) => sum + number, 0);
  return html`<li class="card">
    <${Picture} stream=${stream} shown=${shown} onShow=${onShow} />
    <h3>${stream.name}</h3>
    <${State} state=${stream.state} secondsLeft=${stream.seconds_left} />
    <p class="media">${[stream.video, stream.audio].filter(Boolean).join(" · ") || "–"}</p>
    <div class="rate">
      <${Sparkline} rates=${rates} label=${words.bitrateOf(stream.name)} />
      <strong>${rate(stream.bitrate)}</strong>
    </div>
    <p>
      <a href="#/workflows/${encodeURIComponent(stream.workflow)}">${stream.workflow}</a>
      ${" · "}${words.watchers(total)}${watchers.length > 0 &&
      html` <span class="hint">(${watchers.map(([protocol, number]) => `${number} ${protocol.toUpperCase()}`).join(", ")})</span>`}
    </p>
    <p class="hint">${words.onAirFor(since(stream.since))} · ${sourceOf(stream)}</p>
    ${targets.length > 0 &&
    html`<ul class="targets">${targets.map(
      (target) => html`<li class=${target.is_up ? "up" : "down"}>
        <span class="lamp" aria-hidden="true"></span>${target.target} <span class="hint">${target.message}</span>
      </li>`,
    )}</ul>`}
  </li>`;
}

export function Overview({ live, overview }) {
  const [search, setSearch] = useState("");
  const [most, setMost] = useState(SHOWN_AT_ONCE);
  const [shown, setShown] = useState(null); // the one preview
  if (overview === null) return html`<p role="status">${words.loading}</p>`;
  const wanted = search.toLowerCase();
  const found = overview.streams.filter((each) => `${each.name} ${each.workflow}`.toLowerCase().includes(wanted));
  const targets = new Map();
  for (const workflow of overview.workflows) {
    for (const target of workflow.targets) {
      const key = JSON.stringify([workflow.name, target.name]);
      targets.set(key, [...(targets.get(key) ?? []), target]);
    }
  }
  return html`
    <h1>${words.place.overview}</h1>
    <p class="totals">
      <span><strong>${words.streamsCount(overview.streams.length)}</strong></span>
      <span><strong>${words.publishers(overview.clients.publishers)}</strong></span>
      <span><strong>${words.watchers(overview.clients.watchers)}</strong></span>
    </p>
    <${Warnings} overview=${overview} />
    <section aria-labelledby="streams">
      <h2 id="streams">${words.streams}</h2>
      ${overview.streams.length > SHOWN_AT_ONCE &&
      html`<input type="search" class="search" aria-label=${words.search} placeholder=${words.search} value=${search}
        onInput=${(event) => setSearch(event.target.value)} />`}
      ${overview.streams.length === 0 && html`<p>${words.nothingOnAir} ${words.nothingOnAirHint}</p>`}
      ${overview.streams.length > 0 && found.length === 0 && html`<p>${words.noMatch}</p>`}
      <ul class="cards">
        ${found.slice(0, most).map(
          (stream) => html`<${Card} key=${stream.id} stream=${stream} rates=${live.rates.get(stream.id) ?? []} shown=${shown} onShow=${setShown}
            targets=${targets.get(JSON.stringify([stream.workflow, stream.name])) ?? []} />`,
        )}
      </ul>
      ${found.length > most &&
      html`<button onClick=${() => setMost(most + SHOWN_AT_ONCE)}>${words.moreStreams(found.length - most)}</button>`}
    </section>`;
}
