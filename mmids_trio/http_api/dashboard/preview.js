// A stream as a moving picture, without sound. What plays it is loaded when somebody looks for the first time.
import * as api from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { words } from "./words.js";

const AGAIN_MS = 1000;
const FULL = 503;

let loading = null;

function player() {
  loading ??= import("./vendor/mpegts.js").then(
    (module) => module.default,
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

function play(mpegts, video, address, onEnd) {
  mpegts.LoggingControl.enableAll = false;
  const playing = mpegts.createPlayer(
    { type: "flv", isLive: true, hasAudio: false, url: new URL(address, location.href).href },
    { enableStashBuffer: false, lazyLoad: false, liveSync: true, liveSyncTargetLatency: 0.5, autoCleanupSourceBuffer: true },
  );
  playing.on(mpegts.Events.LOADING_COMPLETE, () => onEnd(null));
  playing.on(mpegts.Events.ERROR, (_, detail, info) => {
    if (detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED) onEnd(words.previewUnsupported);
    else onEnd(info?.code === FULL ? words.previewsFull : null);
  });
  playing.attachMediaElement(video);
  playing.load();
  video.play().catch(() => {}); // it was taken away before it began
  return () => playing.destroy();
}

// Goes on by itself as long as it is shown, unless this browser cannot play the stream at all.
export function Preview({ stream }) {
  const video = useRef(null);
  const [said, say] = useState(words.previewBegins);
  useEffect(() => {
    let stop = () => {};
    let timer = null;
    let gone = false;
    async function begin() {
      const mpegts = await player().catch(() => null);
      if (gone) return;
      if (mpegts !== null && !mpegts.isSupported()) {
        say(words.previewUnsupported);
      } else {
        if (mpegts !== null) stop = play(mpegts, video.current, api.preview(stream.id), end);
        else end(null);
      }
    }
    function end(reason) {
      if (gone) return;
      stop();
      stop = () => {};
      say(reason ?? words.previewBegins);
      if (reason !== words.previewUnsupported) timer = setTimeout(begin, AGAIN_MS);
    }
    begin();
    return () => {
      gone = true;
      clearTimeout(timer);
      stop();
    };
  }, [stream.id]);
  return html`<video ref=${video} class="moving" muted playsinline disablepictureinpicture
      aria-label=${words.previewOf(stream.name)} onPlaying=${() => say("")}></video>
    ${said && html`<span class="said">${said}</span>`}`;
}
