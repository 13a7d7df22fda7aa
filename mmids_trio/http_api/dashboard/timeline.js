// What has happened since the page was opened: media and watchers as curves on one axis, and the events as a list.
import * as api from "./api.js";
import { may } from "./callers.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { clock } from "./figures.js";
import { words } from "./words.js";
import uPlot from "./vendor/uplot.js";

const TECHNICAL = new Set(["key", "type", "time", "id", "stream_id", "step_id", "count"]);

function Chart({ title, series, times }) {
  const place = useRef(null);
  const chart = useRef(null);
  useEffect(() => {
    const ink = getComputedStyle(place.current).color;
    const line = getComputedStyle(place.current).getPropertyValue("--accent");
    const axis = { stroke: ink, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } };
    chart.current = new uPlot(
      {
        width: place.current.clientWidth,
        height: 160,
        legend: { show: false },
        cursor: { show: false },
        axes: [axis, { ...axis, size: 60 }],
        scales: { y: { range: (_, least, most) => [0, Math.max(most, 1)] } },
        series: [{}, { stroke: line, fill: `${line.trim()}22`, width: 2 }],
      },
      [times, series],
      place.current,
    );
    const resized = new ResizeObserver(() => chart.current.setSize({ width: place.current.clientWidth, height: 160 }));
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

// The log from an event on, asked for when somebody wants it.
function Log({ event }) {
  const [lines, setLines] = useState(null);
  const [problem, setProblem] = useState("");
  const read = () => api.log(event.time, event.workflow).then(setLines, (refused) => setProblem(refused.message));
  return html`<button aria-label=${words.logOf(event.type.replaceAll("_", " "))} onClick=${read}>${words.log}</button>
    ${problem && html`<p class="problem">${problem}</p>`}
    ${lines !== null &&
    html`<pre class="lines" tabindex="0">${lines.length === 0 ? words.noLog : lines.map((line) => JSON.stringify(line)).join("\n")}</pre>`}`;
}

export function Timeline({ live, caller }) {
  const { times, bits, watchers } = live.history;
  return html`
    <h1>${words.place.events}</h1>
    <section aria-labelledby="charts">
      <h2 id="charts">${words.charts}</h2>
      <div class="charts">
        <${Chart} title=${words.chartBitrate} times=${times} series=${bits} />
        <${Chart} title=${words.chartWatchers} times=${times} series=${watchers} />
      </div>
    </section>
    <section aria-labelledby="events">
      <h2 id="events">${words.events}</h2>
      ${live.events.length === 0 && html`<p>${words.noEvents}</p>`}
      <ol class="events">
        ${live.events.slice(0, 200).map(
          (event) => html`<li key=${event.key}>
            <time datetime=${event.time}>${event.time ? clock(event.time) : ""}</time>
            <strong>${event.type.replaceAll("_", " ")}</strong> <span>${details(event)}</span>
            ${event.time && may(caller, "admin") && html`<${Log} event=${event} />`}
          </li>`,
        )}
      </ol>
    </section>`;
}
