// Where the media comes from: hls.js, the browser's own HLS, or FLV with mpegts.js. Each engine has the same few words.
//
//   play(video, address, tell) -> {qualities, choose, edge, window, stop}
//
// `tell.gone(reason, detail)` says that there is nothing more to come: "absent", "refused", "unreachable",
// "unsupported", "broken", "ended" or "lost" (begin again). `tell.qualities(labels, chosen, playing)`: what may be chosen from has changed.

const HTTP_GONE = [404, 410];
const HTTP_REFUSED = [401, 403];

const NAMES = {
  avc1: "H.264", avc3: "H.264", hvc1: "HEVC", hev1: "HEVC", av01: "AV1", vp09: "VP9", vp08: "VP8", vvc1: "VVC",
  mp4a: "AAC", opus: "Opus", Opus: "Opus", "ac-3": "AC-3", "ec-3": "E-AC-3", fLaC: "FLAC", flac: "FLAC", mp3: "MP3",
};
const SOUND = ["mp4a", "opus", "Opus", "ac-3", "ec-3", "fLaC", "flac", "mp3"];

// What of a list of codecs this browser cannot play: words for people, and the step that mends it.
export function lacking(codecs) {
  const Source = window.MediaSource ?? window.ManagedMediaSource;
  const bad = codecs.filter((codec) => {
    const kind = SOUND.includes(codec.split(".")[0]) ? "audio" : "video";
    return !Source?.isTypeSupported(`${kind}/mp4; codecs="${codec}"`);
  });
  const heads = bad.map((codec) => codec.split(".")[0]);
  return {
    names: [...new Set(heads.map((head) => NAMES[head] ?? head))],
    remedy: remedy(heads.some((head) => !SOUND.includes(head)), heads.some((head) => SOUND.includes(head))),
  };
}

function remedy(video, sound) {
  return `ffmpeg_transcode vcodec=${video ? "h264" : "copy"} acodec=${sound ? "aac" : "copy"}`;
}

function reasonOf(status) {
  if (HTTP_GONE.includes(status)) return "absent";
  return HTTP_REFUSED.includes(status) ? "refused" : "unreachable";
}

function edgeOf(ranges, behind) {
  return ranges.length ? Math.max(ranges.end(ranges.length - 1) - behind, ranges.start(ranges.length - 1)) : null;
}

// HLS by hls.js, with low latency. `null` where this browser has nothing that it could work with.
export async function hls(video, address, tell) {
  const { default: Hls, Events, ErrorTypes, ErrorDetails } = await import("./vendor/hls.light.min.mjs");
  if (!Hls.isSupported()) return null;
  const player = new Hls({
    lowLatencyMode: true,
    enableWorker: false, // fragmented MP4 needs no work that would be worth a thread
    maxLiveSyncPlaybackRate: 1.5,
    backBufferLength: 30,
    capLevelToPlayerSize: true,
  });
  let codecs = [];
  let recoveredAt = -Infinity;
  player.on(Events.MANIFEST_LOADED, (_, data) => {
    codecs = data.levels.flatMap((level) => (level.attrs.CODECS ?? "").split(",")).filter(Boolean);
  });
  const show = () => {
    const labels = player.levels.map((level) => (level.height ? `${Math.min(level.height, level.width)}p` : "Sound"));
    tell.qualities(labels, player.autoLevelEnabled ? -1 : player.manualLevel, player.currentLevel);
  };
  player.on(Events.MANIFEST_PARSED, show);
  player.on(Events.LEVEL_SWITCHED, show);
  player.on(Events.LEVEL_LOADED, (_, data) => {
    if (!data.details.live && video.readyState < 2 && !data.details.fragments.length) tell.gone("absent");
  });
  player.on(Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const now = performance.now();
    if (data.details === ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
      tell.gone("unsupported", lacking(codecs));
    } else if (data.type === ErrorTypes.NETWORK_ERROR) {
      // Only the first playlist asks who comes. Later ones are refused to a session that is over: begin another one.
      const isFirst = data.details.startsWith("manifest");
      tell.gone(isFirst || !data.response?.code ? reasonOf(data.response?.code) : "lost");
    } else if (data.type === ErrorTypes.MEDIA_ERROR && now - recoveredAt > 5000) {
      recoveredAt = now;
      player.recoverMediaError();
    } else {
      const found = lacking(codecs);
      tell.gone(found.names.length ? "unsupported" : "broken", found);
    }
  });
  player.loadSource(address);
  player.attachMedia(video);
  return {
    qualities: () => player.levels.length,
    choose: (level) => {
      player.nextLevel = level;
      show();
    },
    edge: () => player.liveSyncPosition ?? edgeOf(video.buffered, 1),
    window: () => {
      const details = player.latestLevelDetails ?? player.levels[player.currentLevel]?.details;
      return details?.fragments.length ? { start: details.fragmentStart, end: details.edge } : null;
    },
    stop: () => player.destroy(),
  };
}

// Chromium's own player gives up a live playlist with less than three whole segments, where it wants to begin. Whether
// that is what it had; if so, it is longer now.
const ENOUGH_SEGMENTS = 3;

async function hasGrown(answer, isStopped) {
  const first = (await answer.text()).split("\n").find((line) => line && line[0] !== "#");
  for (let waited = false; !isStopped(); waited = true) {
    const text = await (await fetch(new URL(first, answer.url), { cache: "no-store" })).text();
    const count = text.split("#EXTINF").length - 1;
    if (count === 0 || count >= ENOUGH_SEGMENTS || text.includes("#EXT-X-ENDLIST")) return waited;
    await new Promise((done) => setTimeout(done, 500));
  }
  return true;
}

// HLS by the browser itself.
export async function native(video, address, tell) {
  if (!video.canPlayType("application/vnd.apple.mpegurl")) return null;
  let isStopped = false;
  const failed = async () => {
    // The element does not say why. The playlist's address does.
    try {
      const answer = await fetch(address, { cache: "no-store" });
      if (!answer.ok) tell.gone(reasonOf(answer.status));
      else if (await hasGrown(answer, () => isStopped)) isStopped || tell.gone("lost");
      else tell.gone("broken", { names: [], remedy: "" });
    } catch {
      tell.gone("unreachable");
    }
  };
  video.addEventListener("error", failed);
  video.src = address;
  return {
    qualities: () => 1,
    choose: () => {},
    edge: () => edgeOf(video.seekable, 1.5),
    window: () => {
      const ranges = video.seekable;
      return ranges.length ? { start: ranges.start(0), end: ranges.end(ranges.length - 1) } : null;
    },
    stop: () => {
      isStopped = true;
      video.removeEventListener("error", failed);
      video.removeAttribute("src");
      video.load();
    },
  };
}

// FLV over one long answer, by mpegts.js: the least latency.
export async function flv(video, address, tell) {
  const mpegts = await classic("./vendor/mpegts.js", "mpegts");
  if (!mpegts.isSupported()) return null;
  mpegts.LoggingControl.enableAll = false;
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url: address },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      liveSync: true,
      liveSyncTargetLatency: 0.5,
      liveSyncMaxLatency: 1.2,
      liveSyncPlaybackRate: 1.2,
      autoCleanupSourceBuffer: true,
    },
  );
  player.on(mpegts.Events.LOADING_COMPLETE, () => tell.gone("ended"));
  player.on(mpegts.Events.ERROR, (kind, detail, info) => {
    if (kind === mpegts.ErrorTypes.NETWORK_ERROR) {
      tell.gone(reasonOf(info?.code));
    } else if (detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) {
      const said = String(info?.msg ?? info?.info ?? "");
      const name = /audio/i.test(said) ? "its sound" : "its video";
      tell.gone("unsupported", { names: [name], remedy: remedy(name === "its video", name === "its sound") });
    } else {
      tell.gone("broken", { names: [], remedy: "" });
    }
  });
  player.attachMediaElement(video);
  player.load();
  return {
    qualities: () => 1,
    choose: () => {},
    edge: () => edgeOf(video.buffered, 0.3),
    window: () => null,
    stop: () => player.destroy(),
  };
}

// A script that is no module, once.
const loaded = new Map();
function classic(name, global) {
  if (!loaded.has(name)) {
    loaded.set(
      name,
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(name, import.meta.url);
        script.onload = () => resolve(window[global]);
        script.onerror = () => {
          loaded.delete(name);
          reject(new Error(`cannot load ${name}`));
        };
        document.head.append(script);
      }),
    );
  }
  return loaded.get(name);
}
