// The page of one stream: plays it, waits for it, and says in words what is the matter.
//
// Whatever goes wrong ends the engine; another one is started after a while. So the page comes back by itself when the
// stream does, after a restart of the server, and when a laptop has slept.

import { Controls } from "./controls.js";
import { flv, hls, native } from "./sources.js";

const WAYS = { hls, native, flv };
const LABELS = { hls: "HLS", native: "HLS", flv: "FLV" };

// Until the next try, in milliseconds; a crowd that waits shall not come in one instant.
const RETRY = { absent: 2000, ended: 1000, lost: 500, unreachable: 3000, broken: 3000, refused: 30000, unsupported: 15000 };

// Without a picture, until words say so: a page that only turns a wheel says nothing.
const PATIENCE = 4000;

const STARTS = "It starts by itself when the stream does.";
const WORDS = {
  absent: ["Nothing is on the air", STARTS],
  ended: ["The stream has ended", STARTS],
  refused: ["This address is not valid, or not any more", "Ask whoever sent it to you for another one."],
  unreachable: ["The server cannot be reached", "Trying again…"],
  broken: ["Playing has failed", "Trying again…"],
  stalled: ["Nothing comes any more", "It goes on by itself when the stream does."],
  slow: ["Still loading", "The way to the server is slow."],
};

const video = document.getElementById("video");
const asked = new URLSearchParams(location.search);
const own = ["embed", "via"]; // of the page; all else goes with every request for media, such as a token
const query = new URLSearchParams([...asked].filter(([name]) => !own.includes(name))).toString();
const base = location.pathname;
const address = (ending) => base + ending + (query && `?${query}`);
const ADDRESSES = { hls: address("/index.m3u8"), native: address("/index.m3u8"), flv: address(".flv") };

const offered = document.body.dataset.formats.split(" ");
const ways = [...new Set(offered.flatMap((format) => (format === "hls" ? ["hls", "native"] : [format])))];
let wanted = ways.includes(asked.get("via")) ? asked.get("via") : null;

let engine = null;
let turn = 0; // of the engine that is asked for: what an earlier one still says is no news
let timer = 0;
let patience = 0;
let hasPlayed = false;

const controls = new Controls(video, {
  choose: (way) => {
    wanted = way;
    start();
  },
});

async function start() {
  stop();
  const mine = ++turn;
  if (!hasPlayed) video.poster = address(".jpg"); // what was on last, while nothing plays yet
  const tell = {
    gone: (reason, detail) => mine === turn && gone(reason, detail),
    qualities: (...found) => mine === turn && controls.showQualities(...found),
  };
  try {
    for (const way of wanted ? [wanted, ...ways] : ways) {
      const made = await WAYS[way](video, ADDRESSES[way], tell);
      if (mine !== turn) {
        made?.stop();
        return;
      }
      if (made) {
        engine = made;
        controls.use(made);
        document.body.dataset.way = way;
        controls.showWays(choices(way), way);
        controls.play();
        // An answer of FLV begins before the stream does, and lasts over its end.
        expect(way === "flv" ? "absent" : "slow");
        return;
      }
    }
    gone("unsupported", { names: [], remedy: "" });
  } catch {
    if (mine === turn) gone("unreachable");
  }
}

function choices(way) {
  const isNative = way === "native";
  return ways.filter((each) => each === way || each === "flv" || (each === "hls" && !isNative)).map((each) => [each, LABELS[each]]);
}

function expect(otherwise) {
  clearTimeout(patience);
  patience = setTimeout(() => controls.say(otherwise, ...WORDS[otherwise]), PATIENCE);
}

function stop() {
  clearTimeout(timer);
  clearTimeout(patience);
  turn++;
  engine?.stop();
  engine = null;
  controls.use(null);
}

function gone(reason, detail) {
  stop();
  if (reason === "lost") {
    controls.say("loading");
    timer = setTimeout(start, RETRY.lost);
    return;
  }
  const isOver = reason === "absent" && hasPlayed;
  const [title, hint] = reason === "unsupported" ? unsupported(detail) : WORDS[isOver ? "ended" : reason];
  controls.say(reason, title, hint);
  timer = setTimeout(start, RETRY[reason] * (1 + Math.random() / 2));
}

function unsupported({ names, remedy }) {
  const what = names.length ? `This browser cannot play ${names.join(" and ")}` : "This browser cannot play the stream";
  return [what, remedy && `Whoever runs the server mends it with “${remedy}” in front of http_watch.`];
}

video.addEventListener("playing", () => {
  hasPlayed = true;
  clearTimeout(patience);
  video.removeAttribute("poster");
  controls.say("playing");
});
video.addEventListener("ended", () => gone("ended"));
video.addEventListener("waiting", () => {
  if (document.body.dataset.state !== "playing") return;
  controls.say("loading");
  expect("stalled");
});
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => event.persisted && start());

start();
