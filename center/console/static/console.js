// The console's own script: live regions, running timers, the alarm tone. No framework, no inline code (CSP).
"use strict";
(() => {
  const body = document.body;
  const texts = body.dataset;
  const offsetMs = Number(texts.nowUs) / 1000 - Date.now(); // center clock minus this machine's clock
  const nowMs = () => Date.now() + offsetMs;
  const STALE_MS = 15000;

  // --- ages and timers -------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  const stopwatch = (s) => (s >= 3600 ? Math.floor(s / 3600) + ":" : "") + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
  const ago = (s) => {
    const unit = s >= 86400 ? ["agoDay", 86400] : s >= 3600 ? ["agoHour", 3600] : s >= 60 ? ["agoMinute", 60] : ["agoSecond", 1];
    return texts[unit[0]].replace("{n}", Math.floor(s / unit[1]));
  };
  const since = (us) => Math.max(0, Math.floor((nowMs() - Number(us) / 1000) / 1000));
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const tick = () => {
    for (const node of document.querySelectorAll("[data-timer-us]")) put(node, stopwatch(since(node.dataset.timerUs)));
    for (const node of document.querySelectorAll("[data-age-us]")) put(node, ago(since(node.dataset.ageUs)));
    for (const node of document.querySelectorAll("[data-until-us]")) put(node, stopwatch(Math.max(0, Math.floor(Number(node.dataset.untilUs) / 1e6 - nowMs() / 1000))));
    const clock = document.getElementById("clock");
    if (clock) put(clock, new Date(nowMs()).toLocaleTimeString("sv-SE", { timeZone: "Asia/Seoul" }));
    stale();
  };

  // --- live regions: the server renders, we exchange what changed --------------------------------------------
  const parse = (html) => new DOMParser().parseFromString(html, "text/html").body;
  // A card is exchanged part by part: what did not change stays in place, so that a button under the pointer, the focus
  // and a half-typed text survive whatever else happens to the incident meanwhile.
  const made = new WeakMap();
  const still = (node) => node.innerHTML.replace(/(<(?:time|b)[^>]*(?:datetime|data-timer-us)[^>]*>)[^<]*/g, "$1").replace(/ data-busy="1"/g, "");
  const remember = (root) => { for (const part of root.querySelectorAll("[data-part]")) if (!made.has(part)) made.set(part, still(part)); };
  const patch = (old, fresh) => {
    const parts = new Map([...old.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    const wanted = [...fresh.querySelectorAll("[data-part]")];
    if (!wanted.length || wanted.length !== parts.size || wanted.some((part) => !parts.has(part.dataset.part))) return false;
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const part of wanted) {
      const mine = parts.get(part.dataset.part), html = still(part);
      if (made.get(mine) === html) continue;
      const held = mine.contains(document.activeElement) ? document.activeElement.id : null;
      mine.replaceChildren(...part.childNodes);
      made.set(mine, html);
      if (held !== null) requestAnimationFrame(() => ((held && document.getElementById(held)) || old.querySelector("[data-first]") || old).focus({ preventScroll: true }));
    }
    return true;
  };
  const keyed = (region, fresh) => {
    const held = region.contains(document.activeElement) ? document.activeElement : null;
    const wanted = new Map([...fresh.children].map((node) => [node.dataset.key, node]));
    const kept = new Map();
    for (const node of [...region.children]) {
      const next = wanted.get(node.dataset.key);
      if (next && (next.dataset.rev === node.dataset.rev || patch(node, next))) kept.set(node.dataset.key, node);
      else node.remove();
    }
    let cursor = region.firstElementChild;
    for (const node of [...fresh.children]) {
      const known = kept.get(node.dataset.key);
      if (known && known === cursor) cursor = cursor.nextElementSibling;
      else region.insertBefore(known || node, cursor);
    }
    remember(region);
    watch(region);
    if (held?.isConnected && held !== document.activeElement) held.focus({ preventScroll: true });
  };
  // --- seen: a card that was on this screen for a second; the first screen counts ------------------------------
  const seeing = new Map();
  const saw = async (card) => {
    seeing.delete(card);
    if (document.hidden || !card.isConnected || card.dataset.state !== "open") return;
    await fetch(card.dataset.seenUrl, { method: "POST", headers: { "X-Fragment": "1", "X-CSRF-Token": texts.csrf } }).catch(() => 0);
  };
  const eye = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const card = target.closest("[data-seen-url]");
      clearTimeout(seeing.get(card));
      seeing.delete(card);
      if (isIntersecting && !document.hidden && card?.dataset.state === "open") seeing.set(card, setTimeout(() => saw(card), 1000));
    }
  }, { threshold: 0.6 });
  const watch = (root) => { for (const head of root.querySelectorAll('[data-seen-url][data-state="open"] [data-part="head"]')) { eye.unobserve(head); eye.observe(head); } };
  const shown = new WeakMap();
  const exchange = (region, fresh) => {
    if (fresh.querySelector("[data-key]")) { keyed(region, fresh); return; }
    const content = fresh.innerHTML.replace(/>[^<]*<\/time>/g, "></time>"); // ages run by themselves
    if (shown.get(region) === content) return; // nothing new: a link under the pointer stays what it is
    shown.set(region, content);
    const held = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    region.replaceChildren(...fresh.childNodes);
    if (held) [...region.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
  };
  const busy = new Map();
  const refresh = async (region) => {
    if (busy.has(region)) { busy.set(region, true); return; }
    busy.set(region, false);
    try {
      const answer = await fetch(region.dataset.live, { headers: { "X-Fragment": "1" }, cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) { exchange(region, parse(await answer.text())); tick(); tone(); }
    } catch { /* the stream's own silence makes the page stale */ }
    const again = busy.get(region);
    busy.delete(region);
    if (again) refresh(region);
  };
  const regions = () => [...document.querySelectorAll("[data-live]")];
  const concerns = (region, kind) => !region.dataset.kinds || region.dataset.kinds.split(" ").includes(kind);

  // --- the stream -------------------------------------------------------------------------------------------
  let heardMs = Date.now();
  const stale = () => {
    const banner = document.getElementById("stale");
    if (!banner) return;
    const quiet = Date.now() - heardMs > STALE_MS;
    if (quiet && banner.hidden) {
      const at = new Date(heardMs);
      banner.querySelector("[data-text]").textContent = texts.staleText.replace("{time}", [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":"));
    }
    banner.hidden = !quiet;
    body.classList.toggle("stale-page", quiet);
  };
  let stream = null;
  const listen = () => {
    stream?.close();
    const mine = stream = new EventSource("/events");
    const heard = () => { heardMs = Date.now(); stale(); };
    mine.addEventListener("open", () => { heard(); regions().forEach(refresh); });
    mine.addEventListener("beat", heard);
    mine.addEventListener("change", (message) => {
      heard();
      const { kind } = JSON.parse(message.data);
      for (const region of regions()) if (concerns(region, kind)) refresh(region);
    });
    mine.addEventListener("error", () => {
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (stream === mine) listen(); }, 3000);
    });
  };
  const follow = () => { // a browser opens six connections to us: only what is looked at, and the desk, holds one
    if (document.hidden && !document.getElementById("sound")) { stream?.close(); stream = null; }
    else if (!stream) { heardMs = Date.now(); listen(); }
  };

  // --- the tone: two notes while an alarm waits for an answer -------------------------------------------------
  let audio = null;
  let chime = null;
  const title = document.title;
  const isWall = texts.role === "wall";
  if (texts.role && !isWall) sessionStorage.setItem("role", texts.role); // this window keeps it on its other pages too
  const role = texts.role || sessionStorage.getItem("role") || "first";
  const wanted = () => isWall || localStorage.getItem("alarm-sound") === "on";
  const running = () => Boolean(audio) && audio.state === "running";
  const note = (hertz, at, length) => {
    const wave = audio.createOscillator();
    const gain = audio.createGain();
    wave.type = "triangle";
    wave.frequency.value = hertz;
    gain.gain.setValueAtTime(0.0001, at);
    gain.gain.exponentialRampToValueAtTime(0.35, at + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + length);
    wave.connect(gain).connect(audio.destination);
    wave.start(at);
    wave.stop(at + length);
  };
  const ring = () => { if (running()) { note(880, audio.currentTime, 0.28); note(660, audio.currentTime + 0.3, 0.4); } };
  const tone = () => {
    const counts = document.querySelector("[data-waiting]")?.dataset || {};
    const count = Number(counts.waiting || 0);
    const waiting = Number(counts[{ second: "second", wall: "wall" }[role] || "waiting"] || 0) > 0;
    document.title = (count ? `(${count}) ` : "") + title;
    if (waiting && wanted() && !chime) { ring(); chime = setInterval(ring, 1600); }
    if ((!waiting || !wanted()) && chime) { clearInterval(chime); chime = null; }
    soundState(waiting);
  };
  const soundState = (waiting) => {
    const box = document.getElementById("sound");
    if (!box) return;
    const state = !running() || !wanted() ? "off" : waiting ? "ringing" : "on";
    if (box.dataset.state === state) return;
    box.dataset.state = state;
    for (const node of box.querySelectorAll("[data-when]")) node.hidden = !node.dataset.when.split(" ").includes(state);
  };
  const awaken = async () => {
    audio = audio || new AudioContext();
    audio.onstatechange = tone;
    await Promise.race([audio.resume(), new Promise((done) => setTimeout(done, 400))]);
    tone();
  };
  const sound = () => { // it rings on every page; the desk has its switch
    const box = document.getElementById("sound");
    box?.addEventListener("click", async (event) => {
      const press = event.target.closest("button[data-sound]");
      if (!press) return;
      localStorage.setItem("alarm-sound", press.dataset.sound);
      await awaken();
      if (press.dataset.sound === "on") ring();
      tone();
      box.querySelector("button:not([hidden])")?.focus();
    });
    if (wanted()) { // a browser gives sound only after a gesture: the first one on this page will do
      addEventListener("pointerdown", awaken, { once: true });
      addEventListener("keydown", awaken, { once: true });
      awaken();
    }
    tone();
  };

  // --- forms that must not reload the page (a reload would silence the tone) ------------------------------------
  const complain = (text) => {
    const banner = document.getElementById("error");
    if (!banner) return;
    banner.querySelector("[data-text]").textContent = text;
    banner.hidden = !text;
  };
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-async]")) return;
    event.preventDefault();
    if (form.dataset.busy) return; // pressed twice; a disabled button would lose the focus
    form.dataset.busy = "1";
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { "X-Fragment": "1" } });
      const told = answer.status === 409 || answer.status === 403 ? (await answer.json().catch(() => 0)).detail : "";
      complain(answer.ok ? "" : told || texts.failText);
      regions().forEach(refresh);
    } catch { complain(texts.failText); }
    delete form.dataset.busy;
  });

  for (const region of regions()) {
    const everyS = Number(region.dataset.every || 0);
    if (everyS) setInterval(() => { if (!document.hidden) refresh(region); }, everyS * 1000);
  }
  remember(document);
  watch(document);
  document.addEventListener("visibilitychange", () => watch(document));
  sound();
  tick();
  setInterval(tick, 250);
  if (body.dataset.session) {
    follow();
    document.addEventListener("visibilitychange", follow);
    addEventListener("pagehide", () => { stream?.close(); stream = null; });
    addEventListener("pageshow", follow);
  }
})();
