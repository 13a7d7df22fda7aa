// Requests to the API of the server that this page comes from. The cookie of the sign-in goes with them by itself.

export class Refused extends Error {
  // `status` 0: there was no answer at all. `document`: the body of the refusal.
  constructor(status, document) {
    super(document.error ?? `HTTP ${status}`);
    this.status = status;
    this.document = document;
    this.problems = document.problems ?? [];
  }
}

const watchers = new Set();

// Calls `tell(isReachable)` whenever an answer, or none, has come.
export function whenReachable(tell) {
  watchers.add(tell);
  return () => watchers.delete(tell);
}

let signedOut = () => {};

// What to do when the server does not know the sign-in any more.
export function whenSignedOut(act) {
  signedOut = act;
}

async function ask(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(path, { method, body, headers, cache: "no-store", redirect: "error" });
  } catch {
    for (const tell of watchers) tell(false);
    throw new Refused(0, {});
  }
  for (const tell of watchers) tell(true);
  const isJson = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
  const document = isJson ? await response.json() : await response.text();
  if (response.status === 401 && path !== SESSION) signedOut();
  if (!response.ok) throw new Refused(response.status, isJson ? document : {});
  return { document, etag: response.headers.get("ETag") };
}

const SESSION = "/ui/session";
const API = "/ui/api"; // all of the API, for who is signed in
const AS_TEXT = { "Content-Type": "text/plain" };
const AS_JSON = { "Content-Type": "application/json" };
const name = encodeURIComponent;

export const session = async () => (await ask("GET", SESSION)).document;
export const signIn = async (token) => (await ask("POST", SESSION, JSON.stringify({ token }), AS_JSON)).document;
export const signOut = () => ask("DELETE", SESSION);

// What is said of streams and workflows comes apart from their figures, as it is not compressed.
export async function overview() {
  const { said, ...overview } = (await ask("GET", "/ui/overview")).document;
  overview.streams = overview.streams.map((stream, place) => {
    const [name, warnings, address, agent, location] = said.streams[place];
    const publisher = stream.publisher && { ...stream.publisher, address, agent, location };
    return { ...stream, name, warnings, publisher };
  });
  overview.workflows = overview.workflows.map((each) => ({ reason: null, targets: [], ...each, ...said.workflows[each.name] }));
  return overview;
}

export const configuration = () => ask("GET", `${API}/config`);
export const workflow = async (of) => (await ask("GET", `${API}/workflows/${name(of)}`)).document;
export const clientsOf = async (of) => (await ask("GET", `${API}/clients?limit=200&workflow=${name(of)}`)).document;
// What steps there are, with their parameters.
export async function language() {
  const kinds = (await ask("GET", `${API}/openapi.json`)).document["x-kinds"];
  return { steps: kinds.filter((each) => each.kind === "step") };
}

// What its steps count, and the ports on which they take clients.
export const stepsOf = async (of) => (await ask("GET", `/ui/steps/${name(of)}`)).document;
export const timeline = async () => (await ask("GET", `${API}/timeline`)).document;
export const changes = async () => (await ask("GET", `${API}/changes?limit=20`)).document.changes;
export const change = async (id) => (await ask("GET", `${API}/changes/${name(id)}`)).document;
export const preview = (id) => `/ui/media/${name(id)}/live.flv`;
export const thumbnail = (id, moment) => `${API}/streams/${name(id)}/thumbnail.jpg?at=${moment}`;

// The log from a moment on, of one workflow or of all.
export async function log(since, of) {
  const query = new URLSearchParams({ since, limit: "20", ...(of ? { workflow: of } : {}) });
  return (await ask("GET", `${API}/logs?${query}`)).document.lines;
}

// `seconds`: for how long the client's address may not come back, if at all.
export const kick = (id, seconds) => ask("DELETE", `${API}/clients/${name(id)}${seconds ? `?ban=${seconds}` : ""}`);
export const endStream = (id) => ask("DELETE", `${API}/streams/${name(id)}`);
export const stopWorkflow = (of) => ask("DELETE", `${API}/workflows/${name(of)}`);

export const switchSource = (of, step, to) =>
  ask("POST", `${API}/workflows/${name(of)}/steps/${name(step)}/switch`, JSON.stringify({ to }), AS_JSON);

// What has a player in for so many seconds, at a step with a `play_key`.
export const signLink = async (workflow, step_id, key, seconds) =>
  (await ask("POST", `${API}/play-links`, JSON.stringify({ workflow, step_id, key, seconds }), AS_JSON)).document;

// An address as rows of `0` and `1`.
export const qr = async (address) => (await ask("POST", "/ui/qr", JSON.stringify({ address }), AS_JSON)).document.rows;

// Of what others have, only what differs is taken over.
const asked = (options) => new URLSearchParams({ take_over: "changed", ...(options.prune ? { prune: "true" } : {}) });

export const plan = (text, options) => ask("POST", `${API}/config/plan?${asked(options)}`, text, AS_TEXT);

// Carries out what was planned, or nothing: the configuration is still that of `etag`, and no more clients are cut.
export function apply(text, options, etag, maxDisconnects) {
  const query = asked(options);
  query.set("wait", "30");
  query.set("max_disconnects", String(maxDisconnects));
  return ask("PUT", `${API}/config?${query}`, text, { ...AS_TEXT, "If-Match": etag });
}
