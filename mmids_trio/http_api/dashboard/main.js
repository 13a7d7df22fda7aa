// The page: asks who is signed in, then shows one of its places. The address says which one.
import * as api from "./api.js";
import { may } from "./callers.js";
import { html, render, useEffect, useRef, useState } from "./html.js";
import { Live } from "./live.js";
import { Change } from "./change.js";
import { Overview } from "./overview.js";
import { Timeline } from "./timeline.js";
import { Workflow, Workflows } from "./workflows.js";
import { words } from "./words.js";

const PLACES = [
  ["overview", "read", Overview],
  ["workflows", "read", Workflows],
  ["change", "change", Change],
  ["events", "read", Timeline],
];

// `#/workflows/show` is the workflow of that name.
function readAddress() {
  const [place = "", ...rest] = location.hash.replace(/^#\//, "").split("/");
  return { place: place || "overview", name: rest.length ? decodeURIComponent(rest.join("/")) : null };
}

function useAddress() {
  const [address, setAddress] = useState(readAddress);
  useEffect(() => {
    const note = () => setAddress(readAddress());
    addEventListener("hashchange", note);
    return () => removeEventListener("hashchange", note);
  }, []);
  return address;
}

function SignIn({ onSignedIn }) {
  const [problem, setProblem] = useState("");
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  async function submit(event) {
    event.preventDefault();
    try {
      onSignedIn(await api.signIn(field.current.value.trim()));
    } catch (refused) {
      setProblem(refused.status === 401 ? words.wrongToken : refused.status ? refused.message : words.unreachable);
      field.current.select();
    }
  }
  return html`<main class="sign-in">
    <h1>${words.product}</h1>
    <form onSubmit=${submit}>
      <label for="token">${words.token}</label>
      <input id="token" ref=${field} type="password" autocomplete="current-password" spellcheck="false" required
        aria-describedby="token-hint" />
      <p id="token-hint" class="hint">${words.signInHint}</p>
      <p class="problem" role="alert">${problem}</p>
      <button class="primary" type="submit">${words.signIn}</button>
    </form>
  </main>`;
}

function Places({ current, caller, isLocked, onSignOut }) {
  return html`<header class="top">
    <span class="brand">${words.product}</span>
    <nav aria-label=${words.places}>
      ${PLACES.filter(([, scope]) => may(caller, scope)).map(
        ([place]) => html`<a href="#/${place}" aria-current=${place === current ? "page" : null}>${words.place[place]}</a>`,
      )}
    </nav>
    ${isLocked && html`<span class="who">${caller.name}</span><button onClick=${onSignOut}>${words.signOut}</button>`}
  </header>`;
}

// For a token that is good for commands alone, as one that only kicks.
const NoPlace = () => html`<p>${words.notAllowed}</p>`;

function Room({ session, onSignOut }) {
  const address = useAddress();
  const [live] = useState(() => new Live(session.events));
  const [, redraw] = useState(0);
  useEffect(() => (may(session.caller, "read") ? live.start() : undefined), []);
  useEffect(() => live.subscribe(() => redraw((count) => count + 1)), []);
  useEffect(() => {
    document.title = `${words.place[address.place] ?? ""} · ${words.product}`;
  }, [address.place]);
  const offered = PLACES.filter(([, scope]) => may(session.caller, scope));
  const [place, , View] = offered.find(([each]) => each === address.place) ?? offered[0] ?? ["", "", NoPlace];
  const Shown = place === "workflows" && address.name !== null ? Workflow : View;
  return html`
    <${Places} current=${place} caller=${session.caller} isLocked=${session.locked} onSignOut=${onSignOut} />
    <div role="status" class="banner" hidden=${live.isReachable}>${live.isReachable ? "" : words.unreachable}</div>
    <main>
      <${Shown} live=${live} overview=${live.overview} caller=${session.caller} name=${address.name} key=${address.name} />
    </main>`;
}

const RETRY_MS = 2000;

function Page() {
  const [session, setSession] = useState(null);
  const [problem, setProblem] = useState("");
  async function read() {
    try {
      setSession(await api.session());
      setProblem("");
    } catch (refused) {
      setProblem(refused.status ? refused.message : words.unreachable);
      setTimeout(read, RETRY_MS);
    }
  }
  useEffect(() => {
    api.whenSignedOut(read);
    read();
  }, []);
  if (session === null) return html`<main class="sign-in"><p role="status">${problem || words.loading}</p></main>`;
  if (session.caller === null) return html`<${SignIn} onSignedIn=${setSession} />`;
  return html`<${Room} session=${session} onSignOut=${() => api.signOut().then(read)} />`;
}

render(html`<${Page} />`, document.getElementById("app"));
