// The last hour on one axis: media and watchers as curves, the states of streams as bars, and what happened as marks; the
// same as a list below. The server remembers it (`/timeline`); what has come since this page reads as it comes.
import * as api from "./api.js";
import { may } from "./callers.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { clock } from "./figures.js";
import { words } from "./words.js";
import uPlot from "./vendor/uplot.js";

const TECHNICAL = new Set(["key", "type", "time", "id", "stream_id", "step_id", "count"]);
const READ_MS = 20_000;
const HEIGHT = 140;
const LEFT = 90; // pixels beside the axis; `.lanes` in the sheet has the same
const SHOWN_EVENTS = 200;
const SHOWN_LANES = 40;
const NOTHING = { seconds: 3600, left_out: 0, time: [], bitrate: [], publishers: [], watchers: [], streams: [], events: [] };

const LABEL = 70; // pixels of a time at the axis
const LEAST_SECONDS = 60; // of the axis: a server that has begun just now has no hour to show

// The times along the axis as everywhere on the page; none that the edge would cut.
const timesAt = (chart, times) =>
  times.map((time) => (chart.valToPos(time, "x") > chart.over.clientWidth - LABEL / 2 ? "" : clock(time * 1000)));

function Chart({ title, series, times, seconds, onChoose }) {
  const span = useRef(null);
  span.current = seconds;
  const place = useRef(null);
  const chart = useRef(null);
  const choose = useRef(null);
  choose.current = onChoose;
  useEffect(() => {
    const ink = getComputedStyle(place.current).color;
    const line = getComputedStyle(place.current).getPropertyValue("--accent");
    const axis = { stroke: ink, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } };
    chart.current = new uPlot(
      {
        width: place.current.clientWidth,
        height: HEIGHT,
        padding: [8, 0, 0, 0],
        legend: { show: false },
        cursor: { x: true, y: false, points: { show: false }, drag: { x: false, y: false }, sync: { key: "timeline" } },
        axes: [{ ...axis, space: LABEL + 10, size: 30, values: timesAt }, { ...axis, size: LEFT }],
        scales: {
          x: { range: () => [Date.now() / 1000 - span.current, Date.now() / 1000] },
          y: { range: (_, least, most) => [0, Math.max(most, 1)] },
        },
        series: [{}, { stroke: line, fill: `${line.trim()}22`, width: 2, points: { show: false } }],
      },
      [times, series],
      place.current,
    );
    chart.current.over.addEventListener("click", (event) => choose.current(chart.current.posToVal(event.offsetX, "x")));
    // It hears also that its place is gone, before what cleans up does.
    const resized = new ResizeObserver(([{ target }]) => {
      if (target.isConnected) chart.current.setSize({ width: target.clientWidth, height: HEIGHT });
    });
    resized.observe(place.current);
    return () => {
      resized.disconnect();
      chart.current.destroy();
    };
  }, []);
  useEffect(() => chart.current?.setData([times, series]));
  const last = series.at(-1);
  return html`<figure>
    <figcaption>${title}${last === undefined ? "" : `: ${Math.round(last * 10) / 10}`}</figcaption>
    <div class="chart" ref=${place} aria-hidden="true"></div>
  </figure>`;
}

const details = (event) =>
  Object.entries(event)
    .filter(([name, value]) => !TECHNICAL.has(name) && value !== null && typeof value !== "object")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
    .join(", ");

// What was measured before this page was opened, and what it has seen since.
function measured(past, seen) {
  const last = past.time.at(-1) ?? -Infinity;
  const from = seen.times.findIndex((time) => time > last);
  const since = (values) => (from < 0 ? [] : values.slice(from));
  return {
    times: [...past.time, ...since(seen.times)],
    bits: [...past.bitrate.map((bits) => bits / 1e6), ...since(seen.bits)],
    watchers: [...past.watchers, ...since(seen.watchers)],
  };
}

// The newest first, each once.
function happened(past, seen) {
  const known = new Map(past.events.map((event) => [event.id, { ...event, key: event.id }]));
  for (const event of seen) known.set(event.key, event);
  return [...known.values()].sort((one, other) => (one.time < other.time ? 1 : -1));
}

// States of streams as bars and events as marks, for the eye: the list says the same in words.
function Lanes({ past, events, seconds, onChoose }) {
  const now = Date.now() / 1000;
  const start = now - seconds;
  const at = (time) => Math.max(0, Math.min(100, (100 * (time - start)) / seconds));
  const lanes = past.streams.filter((each) => each.states.length > 0).slice(-SHOWN_LANES);
  return html`<figure class="lanes" aria-hidden="true">
    <figcaption>${words.statesOfStreams}</figcaption>
    <div class="lane"><span>${words.eventsLane}</span><div>
      ${events
        .filter((event) => event.time && Date.parse(event.time) / 1000 >= start)
        .map(
          (event) => html`<i key=${event.key} class="mark" title=${`${clock(event.time)} ${named(event)}`}
            style=${{ left: `${at(Date.parse(event.time) / 1000)}%` }} onClick=${() => onChoose(event.time, event.workflow, event.key)}></i>`,
        )}
    </div></div>
    ${lanes.map(
      (lane) => html`<div class="lane" key=${lane.id}><span title=${lane.name}>${lane.name}</span><div>
        ${lane.states.map(({ since, state }, place) => {
          const end = lane.states[place + 1]?.since ?? lane.ended ?? now;
          return html`<i class=${`span ${state}`} title=${`${clock(since * 1000)} ${words.state[state] ?? state}`}
            style=${{ left: `${at(since)}%`, width: `${at(end) - at(since)}%` }}
            onClick=${() => onChoose(new Date(since * 1000).toISOString(), lane.workflow)}></i>`;
        })}
      </div></div>`,
    )}
    <p class="legend">
      ${[...new Set(lanes.flatMap((lane) => lane.states.map(({ state }) => state)))].map(
        (state) => html`<span key=${state}><i class=${`span ${state}`}></i>${words.state[state] ?? state}</span>`,
      )}
    </p>
  </figure>`;
}

const named = (event) => event.type.replaceAll("_", " ");

// The log from a moment on.
function Log({ asked, onClose }) {
  const [lines, setLines] = useState(null);
  const [problem, setProblem] = useState("");
  const region = useRef(null);
  useEffect(() => {
    setLines(null);
    setProblem("");
    region.current.scrollIntoView({ block: "nearest" });
    api.log(asked.time, asked.workflow).then(setLines, (refused) => setProblem(refused.message || words.unreachable));
  }, [asked]);
  return html`<section aria-labelledby="log" ref=${region}>
    <h2 id="log">${words.log}</h2>
    <p>${words.logFrom(clock(asked.time), asked.workflow)} <button onClick=${onClose}>${words.close}</button></p>
    <p class="problem" role="alert">${problem}</p>
    ${lines !== null &&
    html`<pre class="lines" tabindex="0" aria-labelledby="log">${lines.length === 0 ? words.noLog : lines.map((line) => JSON.stringify(line)).join("\n")}</pre>`}
  </section>`;
}

export function Timeline({ live, caller }) {
  const [past, setPast] = useState(NOTHING);
  const [asked, setAsked] = useState(null);
  const mayLog = may(caller, "admin");
  useEffect(() => {
    const read = () => document.visibilityState === "visible" && api.timeline().then(setPast, () => {});
    read();
    const timer = setInterval(read, READ_MS);
    return () => clearInterval(timer);
  }, [live.isReachable]);

  function choose(time, workflow, key) {
    if (key !== undefined) document.getElementById(`event-${key}`)?.scrollIntoView({ block: "center" });
    if (mayLog) setAsked({ time, workflow });
  }
  const at = (seconds) => choose(new Date(seconds * 1000).toISOString());
  const { times, bits, watchers } = measured(past, live.history);
  const events = happened(past, live.events);
  const seconds = Math.min(past.seconds, Math.max(LEAST_SECONDS, Date.now() / 1000 - (times[0] ?? Infinity)));
  return html`
    <h1>${words.place.events}</h1>
    <section aria-labelledby="charts">
      <h2 id="charts">${words.charts}</h2>
      ${mayLog && html`<p class="hint">${words.chartsHint}</p>`}
      <div class="axis">
        <${Chart} title=${words.chartBitrate} times=${times} series=${bits} seconds=${seconds} onChoose=${at} />
        <${Chart} title=${words.chartWatchers} times=${times} series=${watchers} seconds=${seconds} onChoose=${at} />
        <${Lanes} past=${past} events=${events} seconds=${seconds} onChoose=${choose} />
      </div>
    </section>
    ${asked !== null && html`<${Log} asked=${asked} onClose=${() => setAsked(null)} />`}
    <section aria-labelledby="events">
      <h2 id="events">${words.events}</h2>
      ${events.length === 0 && html`<p>${words.noEvents}</p>`}
      ${past.left_out > 0 && html`<p class="hint">${words.leftOutOfTimeline(past.left_out)}</p>`}
      <ol class="events">
        ${events.slice(0, SHOWN_EVENTS).map(
          (event) => html`<li key=${event.key} id=${`event-${event.key}`}>
            <time datetime=${event.time}>${event.time ? clock(event.time) : ""}</time>
            <strong>${named(event)}</strong> <span>${details(event)}</span>
            ${event.time && mayLog &&
            html`<button aria-label=${words.logOf(named(event))} onClick=${() => choose(event.time, event.workflow)}>${words.log}</button>`}
          </li>`,
        )}
      </ol>
    </section>`;
}
