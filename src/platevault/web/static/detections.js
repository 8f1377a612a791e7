// Comforts of the pages of results and of one detection; they can be read without any of them.
"use strict";

const cards = document.getElementById("cards");

// ---- Pictures -------------------------------------------------------------------------------------------------------

// A presigned URL ends while a page stays open, or its object is gone: ask the service for the image itself. It looks, and leads to
// a fresh URL (which may end too, on a slow line) or draws what became of the image. Where that fails, the words in `alt` stay.
const TRIES = 3;

function askAgain(image) {
  const tried = Number(image.dataset.tried ?? 0);
  if (!image.dataset.again || tried === TRIES) return unshowable(image);
  image.dataset.tried = tried + 1;
  image.src = image.dataset.again;
}

// What stands there is no picture: words have its place, not a strip with a torn corner.
function unshowable(image) {
  image.closest(".shot")?.classList.add("torn");
}

function settled(event) {
  const image = event.target;
  if (!(image instanceof HTMLImageElement)) return;
  image.closest(".shot")?.classList.remove("waiting", "torn");
  image.closest(".stage")?.classList.toggle("pictured", isPicture(image));
  if (event.type === "error") askAgain(image);
}

// A drawing of what became of an image has its shape and not its size, so the plate is marked on the picture itself alone.
function isPicture(image) {
  return ["Width", "Height"].every((side) => image[`natural${side}`] === Number(image.getAttribute(side)));
}

document.addEventListener("error", settled, true);
document.addEventListener("load", settled, true);
for (const image of document.querySelectorAll("img[data-again]")) {
  image.closest(".stage")?.classList.toggle("pictured", isPicture(image));
  if (!image.complete) image.closest(".shot")?.classList.add("waiting");
  else if (image.naturalWidth === 0) askAgain(image); // failed before this script was there
}

// ---- Moving over the results ----------------------------------------------------------------------------------------

const links = () => [...cards.querySelectorAll("a.scene")];

// One stop of the Tab key for all results; arrows move inside.
function rove(to) {
  for (const link of links()) link.tabIndex = link === to ? 0 : -1;
}

function perRow(all) {
  const top = (link) => link.getBoundingClientRect().top;
  const next = all.findIndex((link) => top(link) > top(all[0]) + 1);
  return next < 0 ? all.length : next;
}

function move(key) {
  const all = links();
  if (!all.length) return false;
  const now = all.indexOf(document.activeElement);
  const row = perRow(all);
  const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1, ArrowDown: row, ArrowUp: -row }[key];
  const to = key === "Home" ? 0 : key === "End" ? all.length - 1 : now < 0 ? 0 : now + step;
  if (to < 0 || to >= all.length) return now >= 0 && to >= 0 && to < all.length + row;
  rove(all[to]);
  all[to].focus();
  all[to].closest(".card").scrollIntoView({ block: "nearest" });
  return true;
}

function press(id) {
  document.getElementById(id)?.click();
}

const KEYS = {
  "/": () => document.getElementById("plate")?.select(),
  n: () => document.querySelector("a[rel=next]:not([hidden])")?.click(),
  p: () => document.querySelector("a[rel=prev]:not([hidden])")?.click(),
  v: () => document.querySelector("button[name=view][aria-pressed=false]")?.click(),
  l: () => press("live"),
  b: () => press("boxed"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const inResults = cards?.contains(document.activeElement);
  const moves = ["j", "k"].includes(event.key) || (/^(Arrow|Home|End)/.test(event.key) && (inResults || event.key === "ArrowDown"));
  if (cards && moves) {
    if (move(event.key)) event.preventDefault();
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

if (cards) {
  rove(links()[0]);
  cards.addEventListener("focusin", (event) => event.target.matches("a.scene") && rove(event.target));
  // All of a result opens it, but for text that somebody selects.
  cards.addEventListener("click", (event) => {
    if (event.target.closest("a, button") || getSelection().type === "Range") return;
    event.target.closest(".card")?.querySelector("a.scene").click();
  });
}

// ---- Between a list and its detections ------------------------------------------------------------------------------

// The ids of the list that was looked at last, for this tab alone; no plate is kept.
const LIST = "platevault list";

function remember() {
  const ids = [...cards.children].map((card) => card.dataset.id);
  sessionStorage.setItem(LIST, JSON.stringify({ path: location.pathname + location.search, name: document.querySelector("h1").textContent, ids }));
}

function lead(id, detection) {
  const link = document.getElementById(id);
  if (!link || !detection) return;
  link.href = `/detections/${detection}`;
  link.hidden = false;
}

function leadOn() {
  const list = JSON.parse(sessionStorage.getItem(LIST) ?? "null");
  const place = list?.ids.indexOf(location.pathname.split("/").pop()) ?? -1;
  if (place < 0) return;
  const back = document.getElementById("back");
  back.href = list.path;
  back.textContent = `← ${list.name}`;
  lead("previous", list.ids[place - 1]);
  lead("next", list.ids[place + 1]);
}

try {
  if (cards) addEventListener("pagehide", remember);
  else if (document.getElementById("back")) leadOn();
} catch {
  // A browser that keeps nothing for pages has its own way back.
}

// ---- Copying --------------------------------------------------------------------------------------------------------

const copy = document.getElementById("copy");
if (copy) {
  const link = document.getElementById("link");
  copy.addEventListener("click", async () => {
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy link"), 2000);
    } catch {
      copy.textContent = "Press Ctrl+C"; // it is selected
    }
  });
}

// ---- Live -----------------------------------------------------------------------------------------------------------

const live = document.getElementById("live");
const arrived = document.getElementById("arrived");
const LIVE = "platevault live";
const POLL_MILLISECONDS = 10000;
const INSERTED_MOST = 400; // then the page is loaded anew, so that it does not grow without end
let waiting = []; // cards not shown yet, the newest last
let inserted = 0;
let stream = null;
let poll = null;

const textOf = (card, selector, text) => {
  const place = card.querySelector(selector);
  if (place) place.textContent = text ?? "";
  if (place?.hasAttribute("title")) place.title = text ?? "";
  return place;
};

function fillPicture(box, detection, kind) {
  const image = detection.images[kind];
  const derivable = detection.derivable?.[kind];
  const path = `/v1/detections/${detection.detection_id}/images/${kind}`;
  const thumb = kind === "full" && image?.state === "stored" ? (image.variants?.thumb?.url ?? `${path}/derived?variant=thumb`) : undefined;
  const url = thumb ?? image?.url ?? (derivable && `${derivable.url}?variant=thumb`);
  if (!url) {
    const gone = document.createElement("span");
    gone.className = "gone";
    const called = kind === "full" ? "image" : kind;
    const words = document.createElement("span");
    words.textContent = image ? `${called} ${image.state}` : `no ${called}`;
    gone.append(words);
    box.replaceChildren(gone);
    return;
  }
  const picture = box.querySelector("img");
  picture.dataset.again = image?.url ? `${path}?check=true` : `${derivable.url}?variant=thumb&check=true`;
  picture.src = url; // its way to the store is not told: this card would not hear of the end
}

function cardOf(detection) {
  const card = document.getElementById("blank").content.firstElementChild.cloneNode(true);
  const captured = detection.captured_at.replace("T", " ");
  const [day, time] = [captured.slice(0, 10), captured.slice(11, 19)];
  const link = card.querySelector("a.scene");
  card.dataset.id = detection.detection_id;
  link.href = `/detections/${detection.detection_id}`;
  link.setAttribute("aria-label", `Open ${detection.plate ?? "detection without plate"}, ${time}, ${detection.camera_id}`);
  fillPicture(link, detection, "full");
  fillPicture(card.querySelector(".crop"), detection, "crop");
  const plate = textOf(card, ".plate", detection.plate ?? "no plate");
  plate.classList.toggle("none", detection.plate === null);
  const shown = card.querySelector("time");
  shown.dateTime = detection.captured_at;
  shown.replaceChildren(`${day} `, Object.assign(document.createElement("b"), { textContent: time }));
  const share = card.querySelector(".confidence");
  if (detection.confidence === null) share.remove();
  else {
    const level = detection.confidence < 0.6 ? "low" : detection.confidence < 0.85 ? "fair" : "high";
    share.className = `confidence ${level}`;
    share.querySelector("rect:last-child").setAttribute("width", (detection.confidence * 36).toFixed(1));
    share.lastChild.textContent = `${Math.round(detection.confidence * 100)} %`;
  }
  const where = card.querySelector(".where");
  if (where) {
    [where.firstChild.textContent, where.lastChild.textContent] = [detection.camera_id, detection.collector_id];
    where.title = `${detection.camera_id} · ${detection.collector_id}`;
  }
  for (const name of ["camera", "collector", "region"]) textOf(card, `td.${name}`, detection[name === "region" ? name : `${name}_id`]);
  textOf(card, "td.vehicle", ["color", "make", "model", "type", "year"].map((name) => detection.vehicle?.[name] ?? "").join(" ").trim());
  const [held, doubt] = card.querySelectorAll(".badge");
  if (!detection.held) held.remove();
  if (!detection.clock_suspect) doubt.remove();
  return card;
}

const atTop = () => scrollY < 40 && !cards.contains(document.activeElement) && !document.hidden;

function arrive(card) {
  const id = card.dataset.id;
  waiting = waiting.filter((other) => other.dataset.id !== id);
  const shown = [...cards.children].find((other) => other.dataset.id === id);
  if (shown) {
    // What was on its way to the store has arrived there; the rest stays as it is, so that nothing flickers.
    if (shown.querySelector(".state") && !card.querySelector(".state") && !shown.contains(document.activeElement)) shown.replaceWith(card);
    return;
  }
  if (!belongs(card)) return;
  waiting.push(card);
  if (waiting.length + inserted > INSERTED_MOST) waiting.shift();
  offer();
}

const capturedAt = (card) => Date.parse(card.querySelector("time").dateTime);

const hasOlder = () => document.querySelector("a[rel=next]") !== null;

// A card that is older than all of this page belongs to a later page: it is neither shown nor counted.
const belongs = (card) => !hasOlder() || [...cards.children].some((other) => capturedAt(other) <= capturedAt(card));

// Who reads further down, or moves over the results, is only told.
function offer() {
  if (waiting.length && atTop()) return insert();
  arrived.hidden = !waiting.length;
  arrived.textContent = `↑ ${waiting.length} new`;
}

function insert() {
  for (const card of waiting) {
    card.classList.add("fresh");
    // By capture, newest first, also if the detection arrives late.
    const next = [...cards.children].find((other) => capturedAt(other) <= capturedAt(card));
    if (next) next.before(card);
    else cards.append(card);
  }
  inserted += waiting.length;
  waiting = [];
  arrived.hidden = true;
  cards.closest(".scroll")?.removeAttribute("hidden");
  document.querySelector(".empty")?.remove();
  rove(links()[0]);
  tell();
  if (inserted >= INSERTED_MOST) location.reload();
}

// Show the number of cards on the page, and the number that arrived since it was opened.
function tell() {
  const shown = cards.children.length;
  const more = hasOlder() ? ", more follow" : "";
  document.getElementById("counted").textContent = `${shown} ${shown === 1 ? "detection" : "detections"}, ${inserted} new${more}`;
}

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return turn(false);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const card of [...fresh.getElementById("cards").children].reverse()) arrive(document.adoptNode(card));
}

function startPolling() {
  const now = () => refresh().catch(() => {});
  poll ??= setInterval(now, POLL_MILLISECONDS);
  now();
}

function turn(on) {
  live.checked = on;
  try {
    if (on) sessionStorage.setItem(LIVE, location.pathname);
    else sessionStorage.removeItem(LIVE);
  } catch {
    // Then it is forgotten when the page is left.
  }
  stream?.close();
  clearInterval(poll);
  stream = poll = null;
  if (!on) {
    waiting = []; // the page stays as it is
    offer();
    return;
  }
  stream = new EventSource(live.dataset.stream);
  stream.addEventListener("detection", (event) => arrive(cardOf(JSON.parse(event.data))));
  // What came between the page and the stream; later the stream itself goes on where it was.
  stream.addEventListener("open", () => refresh().catch(() => {}), { once: true });
  stream.addEventListener("error", () => stream?.readyState === EventSource.CLOSED && startPolling());
}

// What comes is a look that is written down, so it is asked for, never assumed.
if (live) {
  live.addEventListener("change", () => turn(live.checked));
  arrived.addEventListener("click", () => {
    scrollTo({ top: 0 });
    insert();
  });
  addEventListener("scroll", () => waiting.length && offer(), { passive: true });
  document.addEventListener("visibilitychange", () => waiting.length && offer());
  try {
    if (sessionStorage.getItem(LIVE) === location.pathname) turn(true);
  } catch {
    // As above.
  }
}
