// Two small comforts; the pages work without them.
"use strict";

// A presigned URL ends while a page stays open, or its object is gone: ask the service once for the image itself. It looks, and
// leads to a fresh URL or draws what became of the image. Where that fails too, the words in `alt` stay.
function askAgain(image) {
  if (!(image instanceof HTMLImageElement) || !image.dataset.again) return;
  const again = image.dataset.again;
  delete image.dataset.again;
  image.src = again;
}

document.addEventListener("error", (event) => askAgain(event.target), true);
// Those that failed before this script was there.
for (const image of document.querySelectorAll("img[data-again]")) {
  if (image.complete && image.naturalWidth === 0) askAgain(image);
}

const REFRESH_MILLISECONDS = 10000;
const live = document.getElementById("live");

async function refresh() {
  if (!live.checked || document.hidden) return;
  const answer = await fetch("/", { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) {
    live.checked = false;
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const cards = document.getElementById("cards");
  const known = new Map([...cards.children].map((card) => [card.querySelector("a").getAttribute("href"), card]));
  const wanted = [...fresh.getElementById("cards").children].map((card) => {
    const shown = known.get(card.querySelector("a").getAttribute("href"));
    // A card whose image was stored since then is replaced; the others stay, so that nothing flickers.
    return shown && !shown.querySelector(".state") ? shown : document.adoptNode(card);
  });
  cards.replaceChildren(...wanted);
}

// Each refresh is a look that is written down, so it is asked for, never assumed.
if (live) {
  live.parentElement.hidden = false;
  live.addEventListener("change", () => refresh().catch(() => {}));
  setInterval(() => refresh().catch(() => {}), REFRESH_MILLISECONDS);
}
