// What publishes to a workflow and what watches it: addresses to copy or to read with a phone, and signed links.
import * as api from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { words } from "./words.js";

const USUAL_PORTS = { rtmp: 1935, rtmps: 443, http: 80, https: 443 };
const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");

// A server as this browser reaches it, on the port that is really open: port 0 is any, and settings have usual ones.
const serverOf = (scheme, port) => `${scheme}://${location.hostname}${port === USUAL_PORTS[scheme] ? "" : `:${port}`}`;

// Addresses to publish to and to watch at; `*` in a key is for whoever tries it to choose.
function addressesOf(steps, ports, key) {
  return steps.flatMap(({ step_id: id, step_type: type, parameters }) => {
    if (ports[id] === undefined) return [];
    const { rtmp_app: app, stream_key: exact, rtmps, https, play_key: playKey } = parameters;
    const name = exact === "*" || exact === "***" || exact === undefined ? key : exact;
    const of = { id, name, isSigned: playKey !== undefined };
    if (type === "rtmp_receive" || type === "rtmp_watch") {
      const server = `${serverOf(rtmps === undefined ? "rtmp" : "rtmps", ports[id])}/${app}`;
      return [{ ...of, isPublish: type === "rtmp_receive", url: `${server}/${name}`, server }];
    }
    if (type === "http_watch") {
      const server = serverOf(https === undefined ? "http" : "https", ports[id]);
      return [{ ...of, isPublish: false, url: `${server}/${encoded(parameters.app)}/${encoded(name)}` }];
    }
    return [];
  });
}

// Over plain HTTP from another machine browsers have no clipboard API; then the text is selected, and copied the old way.
async function copied(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(shown);
    if (!document.execCommand("copy")) return false; // it stays selected, for the keyboard
    selection.removeAllRanges();
    return true;
  }
}

// A text with a button that copies it.
function Copied({ text }) {
  const shown = useRef(null);
  const [said, say] = useState("");
  useEffect(() => say(""), [text]);
  const copy = async () => say((await copied(text, shown.current)) ? words.copied : words.selected);
  return html`<code ref=${shown}>${text}</code>
    <button onClick=${copy} aria-label=${`${words.copy} ${text}`}>${words.copy}</button>
    <span class="hint" role="status">${said}</span>`;
}

const QUIET = 4; // light modules around a code, as phones want them

// The server makes the code, and this draws it: dark on light, also in the dark, as not every phone reads it otherwise.
function Code({ text }) {
  const [rows, setRows] = useState(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let isWanted = true;
    api.qr(text).then(
      (found) => isWanted && setRows(found),
      (refused) => isWanted && setProblem(refused.status ? refused.message : words.unreachable),
    );
    return () => (isWanted = false);
  }, [text]);
  if (rows === null) return html`<p class="problem" role="alert">${problem}</p>`;
  const size = rows.length + 2 * QUIET;
  const dark = rows.flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : "")));
  return html`<svg class="qr" role="img" aria-label=${words.qrOf(text)} viewBox=${`0 0 ${size} ${size}`} shape-rendering="crispEdges">
    <rect width=${size} height=${size} fill="#fff" /><path d=${dark.join("")} fill="#000" /></svg>`;
}

function Address({ text }) {
  const [isShown, show] = useState(false);
  return html`<${Copied} text=${text} />
    <button aria-label=${words.qrOf(text)} aria-expanded=${isShown ? "true" : "false"} onClick=${() => show(!isShown)}>${words.qr}</button>
    ${isShown && html`<${Code} text=${text} />`}`;
}

const HOUR = 3600;
const LENGTHS = [HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];

// The server signs; what it signs with never comes here.
function Signed({ workflow, id, name, url }) {
  const [seconds, setSeconds] = useState(LENGTHS[0]);
  const [link, setLink] = useState(null);
  const [problem, setProblem] = useState("");
  async function sign() {
    setProblem("");
    try {
      setLink({ of: url, ...(await api.signLink(workflow, id, name, seconds)) });
    } catch (refused) {
      setLink(null);
      setProblem(refused.status ? refused.message : words.unreachable);
    }
  }
  return html`<div class="limit">
      <label for=${`seconds-${id}`}>${words.linkFor}</label>
      <select id=${`seconds-${id}`} value=${seconds} onChange=${(event) => setSeconds(Number(event.target.value))}>
        ${LENGTHS.map((each) => html`<option value=${each}>${words.linkLength(each)}</option>`)}
      </select>
      <button onClick=${sign}>${words.sign}</button>
    </div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    ${link?.of === url && html`<div class="signed" role="status"><${Address} text=${`${url}?${link.query}`} />
      <span class="hint">${words.linkUntil(new Date(link.expires).toLocaleString())}</span></div>`}`;
}

export function TryIt({ workflow, steps, ports, canSign }) {
  const [key, setKey] = useState("test");
  const found = addressesOf(steps, ports, key);
  if (found.length === 0) return null;
  return html`<section aria-labelledby="try">
    <h2 id="try">${words.tryIt}</h2>
    <p class="limit"><label for="key">${words.tryKey}</label>
      <input id="key" type="text" value=${key} spellcheck="false" onInput=${(event) => setKey(event.target.value)} /></p>
    <ul class="rows">
      ${found.map(
        ({ id, isPublish, isSigned, url, server, name }) => html`<li key=${id}>
          <strong>${isPublish ? words.publishTo : words.watchAt}</strong>
          ${isSigned ? html`<code>${url}</code> <span class="hint">${words.needsLink}</span>` : html`<${Address} text=${url} />`}
          ${isSigned && canSign && html`<${Signed} workflow=${workflow} id=${id} name=${name} url=${url} />`}
          ${isPublish && html`<span class="hint">${words.obs(server, name)}</span>
            <${Copied} text=${`ffmpeg -re -i FILE -c copy -f flv ${url}`} />`}
        </li>`,
      )}
    </ul>
  </section>`;
}
