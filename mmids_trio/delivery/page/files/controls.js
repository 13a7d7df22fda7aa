// What people see and press: bar, keys, full screen, words. It knows the video and an engine, and no protocol.

const HIDE_AFTER = 2500;
const STEP = 5; // seconds of an arrow key
const FLOOR = 8; // seconds that can be gone back, below which there is no bar to do so
const LIVE_WITHIN = 4; // seconds behind the edge that still count as live

const at = (id) => document.getElementById(id);

function remembered(name, fallback) {
  try {
    return localStorage.getItem(`player.${name}`) ?? fallback;
  } catch {
    return fallback; // in a frame that may store nothing
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`player.${name}`, value);
  } catch {
    // so it is forgotten
  }
}

function clock(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return `-${parts.join(":")}`;
}

export class Controls {
  engine = null;
  #hiding = 0;
  #isSeeking = false;

  constructor(video, { choose }) {
    this.video = video;
    this.stage = at("stage");
    video.volume = Math.min(Math.max(Number(remembered("volume", "1")) || 0, 0), 1);
    video.muted = remembered("muted", "false") === "true";
    this.#bind(choose);
    this.#volume();
    this.say("loading");
    setInterval(() => this.#tick(), 250);
  }

  // An engine plays, or none does.
  use(engine) {
    this.engine = engine;
    if (!engine) this.showQualities([], -1, -1);
    this.#tick();
  }

  // One of the pages' states, with words for those that need some.
  say(state, title = "", hint = "") {
    document.body.dataset.state = state;
    at("title").textContent = title;
    at("hint").textContent = hint;
    at("words").hidden = !title;
    at("waiting").hidden = state !== "loading";
    if (state !== "playing") this.#wake();
  }

  showQualities(labels, chosen, playing) {
    const menu = at("quality");
    menu.hidden = labels.length < 2;
    const auto = playing >= 0 && chosen < 0 && labels[playing] ? `Auto (${labels[playing]})` : "Auto";
    const options = [new Option(auto, "-1"), ...labels.map((label, index) => new Option(label, String(index)))];
    menu.replaceChildren(...options);
    menu.value = String(chosen);
  }

  showWays(ways, chosen) {
    const menu = at("way");
    menu.hidden = ways.length < 2;
    menu.replaceChildren(...ways.map(([name, label]) => new Option(label, name)));
    menu.value = chosen;
  }

  // Play with sound where the browser allows that before somebody has touched the page, else without.
  async play() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return;
      this.video.muted = true;
      at("unmute").hidden = false;
      await this.video.play().catch(() => {});
    }
  }

  goLive() {
    const edge = this.engine?.edge();
    if (edge != null) this.video.currentTime = edge;
    this.play();
  }

  #bind(choose) {
    const { video, stage } = this;
    at("play").onclick = () => this.#toggle();
    at("live").onclick = () => this.goLive();
    at("mute").onclick = () => this.#mute();
    at("unmute").onclick = () => this.#mute(false);
    at("full").onclick = () => this.#full();
    at("volume").oninput = (event) => {
      video.volume = Number(event.target.value);
      video.muted = video.volume === 0;
    };
    at("quality").onchange = (event) => this.engine?.choose(Number(event.target.value));
    at("way").onchange = (event) => choose(event.target.value);
    const bar = at("seek");
    bar.oninput = () => {
      this.#isSeeking = true;
    };
    bar.onchange = () => {
      this.#isSeeking = false;
      const span = this.#span();
      if (span) video.currentTime = span.start + (Number(bar.value) / 1000) * (span.end - span.start);
    };
    video.onclick = () => (this.#isCoarse ? this.#wake() : this.#toggle());
    video.ondblclick = () => this.#full();
    for (const name of ["play", "pause", "volumechange", "waiting", "playing", "seeked"]) {
      video.addEventListener(name, () => this.#tick());
    }
    video.addEventListener("volumechange", () => this.#volume());
    video.addEventListener("resize", () => {
      if (video.videoWidth) stage.style.setProperty("--shape", `${video.videoWidth} / ${video.videoHeight}`);
    });
    for (const name of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      stage.addEventListener(name, () => this.#wake());
    }
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  get #isCoarse() {
    return matchMedia("(pointer: coarse)").matches;
  }

  #key(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
    const isOnButton = target.tagName === "BUTTON" && (key === " " || key === "Enter");
    const isOnSlider = target.type === "range" && key.startsWith("Arrow");
    if (isOnButton || isOnSlider) return;
    const action = {
      " ": () => this.#toggle(),
      k: () => this.#toggle(),
      m: () => this.#mute(),
      f: () => this.#full(),
      l: () => this.goLive(),
      ArrowLeft: () => this.#skip(-STEP),
      ArrowRight: () => this.#skip(STEP),
      ArrowUp: () => this.#louder(0.1),
      ArrowDown: () => this.#louder(-0.1),
    }[key.length === 1 ? key.toLowerCase() : key];
    if (!action) return;
    event.preventDefault();
    action();
    this.#wake();
  }

  #toggle() {
    if (this.video.paused) this.play();
    else this.video.pause();
  }

  #mute(muted = !this.video.muted) {
    this.video.muted = muted;
    if (!muted && this.video.volume === 0) this.video.volume = 0.5;
    if (!muted && this.video.paused) this.play();
  }

  #louder(by) {
    this.video.volume = Math.min(Math.max(this.video.volume + by, 0), 1);
    this.video.muted = this.video.volume === 0;
  }

  #skip(seconds) {
    const span = this.#span();
    if (span) this.video.currentTime = Math.min(Math.max(this.video.currentTime + seconds, span.start), span.end);
  }

  // What can be gone back over, from the oldest picture to where live is played.
  #span() {
    const whole = this.engine?.window();
    return whole ? { start: whole.start, end: this.engine.edge() ?? whole.end } : null;
  }

  #full() {
    const { stage, video } = this;
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
    else video.webkitEnterFullscreen?.(); // a phone of Apple's shows the video alone
  }

  #volume() {
    const { video } = this;
    const level = video.muted ? 0 : video.volume;
    at("volume").value = level;
    at("mute").dataset.level = level === 0 ? "none" : level < 0.5 ? "low" : "high";
    at("mute").ariaLabel = level === 0 ? "Unmute" : "Mute";
    if (level > 0) at("unmute").hidden = true;
    if (at("unmute").hidden) {
      remember("volume", String(video.volume));
      remember("muted", String(video.muted));
    }
  }

  // Bars follow the video; four times a second, since nobody sees more.
  #tick() {
    const { video, engine } = this;
    at("play").dataset.shows = video.paused ? "play" : "pause";
    at("play").ariaLabel = video.paused ? "Play" : "Pause";
    const edge = engine?.edge() ?? null;
    const behind = edge === null ? 0 : edge - video.currentTime;
    const isLive = engine !== null && !video.paused && behind < LIVE_WITHIN;
    at("live").dataset.on = String(isLive);
    at("live").disabled = engine === null;
    document.body.dataset.live = String(isLive);
    const span = this.#span();
    const length = span ? span.end - span.start : 0;
    at("seek").hidden = at("behind").hidden = length < FLOOR;
    if (length >= FLOOR) {
      if (!this.#isSeeking) at("seek").value = (1000 * (video.currentTime - span.start)) / length;
      at("seek").style.setProperty("--done", `${at("seek").value / 10}%`);
      const shown = this.#isSeeking ? length * (1 - at("seek").value / 1000) : behind;
      at("behind").textContent = shown < LIVE_WITHIN ? "" : clock(shown);
    }
  }

  // Show the bar, and hide it again while nobody moves and something plays.
  #wake() {
    document.body.dataset.bar = "shown";
    clearTimeout(this.#hiding);
    this.#hiding = setTimeout(() => {
      const isHeld = this.stage.querySelector(".bar :focus-visible, .bar:hover");
      if (document.body.dataset.state === "playing" && !this.video.paused && !isHeld) {
        document.body.dataset.bar = "hidden";
      }
    }, HIDE_AFTER);
  }
}
