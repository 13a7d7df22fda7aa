// The state of the server as the page knows it: read as a whole, again when events say that something has happened,
// and every few seconds for rates. Whatever happens to the connection, it goes on by itself.
import * as api from "./api.js";

const USUAL_MS = 4000;
const SOON_MS = 300; // events come in crowds: one reading for all of them
const LEAST_MS = 1000; // from one reading to the next, however many events come: the server makes no newer one sooner
const RETRY_MS = [500, 1000, 2000, 4000];
const KEPT_RATES = 60;
const KEPT_EVENTS = 500;
const KEPT_MOMENTS = 900; // an hour, one every four seconds

export class Live {
  constructor(eventTypes) {
    this.overview = null;
    this.isReachable = true;
    this.events = []; // the newest first
    this.rates = new Map(); // by the id of a stream: its latest rates, the oldest first
    this.history = { times: [], bits: [], watchers: [] }; // of all streams together, since the page was opened
    this._types = eventTypes;
    this._listeners = new Set();
    this._failures = 0;
    this._timer = null;
    this._due = Infinity; // when the timer fires
    this._earliest = 0; // the next reading that events ask for
    this._reading = false;
    this._again = false;
    this._source = null;
    this._ended = false;
  }

  start() {
    this._onVisible = () => document.visibilityState === "visible" && this.refresh();
    document.addEventListener("visibilitychange", this._onVisible);
    this.refresh();
    this._listen();
    return () => this._end();
  }

  subscribe(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  async refresh() {
    clearTimeout(this._timer);
    this._due = Infinity;
    if (this._ended) return;
    if (this._reading) {
      this._again = true;
      return;
    }
    this._reading = true;
    const began = performance.now();
    try {
      this._take(await api.overview());
      this._failures = 0;
      this.isReachable = true;
      if (this._source === null) this._listen();
    } catch (refused) {
      this._failures += 1;
      if (refused.status !== 0 && refused.status < 500) this._failures = RETRY_MS.length;
      else this.isReachable = false;
    }
    this._reading = false;
    if (this._ended) return;
    this._changed();
    const ended = performance.now();
    this._earliest = ended + Math.max(LEAST_MS, ended - began); // a slow line, or a slow machine, has as long a pause
    this._schedule(this._failures ? RETRY_MS[Math.min(this._failures, RETRY_MS.length) - 1] : USUAL_MS);
    if (this._again && !this._failures) this._soon();
    this._again = false;
  }

  // The first event of a crowd sets the time; those behind it do not put it off, or a busy server would never be read.
  _soon() {
    this._schedule(Math.max(SOON_MS, this._earliest - performance.now()));
  }

  // The earlier of two times holds.
  _schedule(milliseconds) {
    const due = performance.now() + milliseconds;
    if (document.hidden || due >= this._due) return;
    clearTimeout(this._timer);
    this._due = due;
    this._timer = setTimeout(() => this.refresh(), milliseconds);
  }

  _take(overview) {
    this.overview = overview;
    const rates = new Map();
    for (const stream of overview.streams) {
      rates.set(stream.id, [...(this.rates.get(stream.id) ?? []), stream.bitrate ?? 0].slice(-KEPT_RATES));
    }
    this.rates = rates;
    const bits = overview.streams.reduce((sum, stream) => sum + (stream.bitrate ?? 0), 0);
    this._remember(Date.now() / 1000, bits / 1e6, overview.clients.watchers);
  }

  _remember(...values) {
    const names = ["times", "bits", "watchers"];
    const longer = names.map((name, place) => [name, [...this.history[name], values[place]].slice(-KEPT_MOMENTS)]);
    this.history = Object.fromEntries(longer);
  }

  // An EventSource tries again by itself after most failures, and not after an answer that is none of events.
  _listen() {
    const source = new EventSource("/ui/api/events");
    this._source = source;
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED && this._source === source) this._source = null;
      this.refresh();
    };
    source.onopen = () => this.refresh();
    for (const type of [...this._types, "reset", "missed"]) {
      source.addEventListener(type, (message) => this._note(type, message));
    }
  }

  _note(type, message) {
    this.events.unshift({ key: message.lastEventId || `${type}-${Date.now()}`, type, ...JSON.parse(message.data) });
    this.events.length = Math.min(this.events.length, KEPT_EVENTS);
    if (this._reading) this._again = true;
    else this._soon();
  }

  _changed() {
    for (const listener of this._listeners) listener();
  }

  _end() {
    this._ended = true;
    clearTimeout(this._timer);
    document.removeEventListener("visibilitychange", this._onVisible);
    this._source?.close();
  }
}
