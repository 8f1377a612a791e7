// Sends what the forms of /docs say, with a token that stays in this page.
"use strict";

for (const element of document.querySelectorAll(".tryout")) element.hidden = false;
for (const operation of document.querySelectorAll(".operation")) {
  const form = operation.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(operation, form).catch((error) => show(operation, [text("p", String(error), "message")]));
  });
  form.querySelector(".fresh").addEventListener("click", () => renew(form.elements.body));
}

function text(tag, content, className) {
  const element = document.createElement(tag);
  element.textContent = content;
  if (className) element.className = className;
  return element;
}

function show(operation, elements) {
  operation.querySelector("output").replaceChildren(...elements);
  for (const long of operation.querySelectorAll("output pre")) long.tabIndex = 0; // the keyboard scrolls it
}

function address(operation, form) {
  let path = operation.dataset.path;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value)).replace(`{${input.name}:path}`, input.value);
    else if (input.name === "data" && input.value) for (const [name, value] of new URLSearchParams(input.value)) query.append(name, value);
    else if (input.value) query.append(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function headers() {
  const given = new Headers();
  const token = document.getElementById("token").value.trim();
  const purpose = document.getElementById("purpose").value.trim();
  if (token) given.set("Authorization", `Bearer ${token}`);
  // Headers carry bytes: people's words go as UTF-8.
  if (purpose) given.set("X-Purpose", String.fromCharCode(...new TextEncoder().encode(purpose)));
  return given;
}

async function send(operation, form) {
  const stop = form.querySelector(".stop");
  stop?.click(); // what was asked before ends
  const ending = new AbortController();
  const options = { signal: ending.signal, method: operation.dataset.method, headers: headers(), redirect: "manual", cache: "no-store" };
  if (operation.dataset.body === "multipart/form-data") options.body = await batch(form);
  else if (operation.dataset.body) {
    options.body = form.elements.body.value;
    options.headers.set("Content-Type", operation.dataset.body);
  }
  const url = address(operation, form);
  const began = performance.now();
  const answer = await fetch(url, options);
  const events = stop && answer.ok && (answer.headers.get("content-type") || "").startsWith("text/event-stream");
  const milliseconds = Math.round(performance.now() - began);
  if (answer.type === "opaqueredirect") {
    const link = text("a", "A redirect to the object store: open it");
    link.href = url;
    link.target = "_blank";
    return show(operation, [text("p", `${milliseconds} ms`, "note"), link]);
  }
  const parts = [text("p", `${answer.status} ${answer.statusText} · ${milliseconds} ms`, answer.ok ? "status good" : "status bad")];
  const kept = ["x-request-id", "retry-after", "x-image-state", "idempotent-replayed", "www-authenticate", "etag", "content-range"];
  const lines = kept.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
  parts.push(text("pre", lines.join("\n"), "headers"), events ? text("pre", "") : await content(answer));
  show(operation, parts);
  if (events) await follow(answer, parts.at(-1), stop, ending);
}

const SHOWN_MOST = 20000; // characters, the newest

// An answer without an end is shown as it comes, until somebody stops it.
async function follow(answer, place, stop, ending) {
  stop.hidden = false;
  stop.onclick = () => ending.abort();
  try {
    for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      place.textContent = (place.textContent + value).slice(-SHOWN_MOST);
      place.scrollTop = place.scrollHeight;
    }
  } catch (error) {
    if (!ending.signal.aborted) throw error;
    place.textContent += "\n(stopped here)";
  } finally {
    stop.hidden = true;
  }
}

async function content(answer) {
  const type = answer.headers.get("content-type") || "";
  if (type.startsWith("image/")) {
    // Shown by its own address: a page of ours loads no blob and no data URL.
    return text("p", `${(await answer.blob()).size} bytes of ${type}`);
  }
  const body = await answer.text();
  return text("pre", type.includes("json") ? JSON.stringify(JSON.parse(body), null, 2) : body);
}

// The manifest as it stands, the chosen files, and a drawing for each image that is declared and not chosen.
async function batch(form) {
  const manifest = JSON.parse(form.elements.body.value);
  const chosen = new Map([...form.elements.files.files].map((file) => [file.name.replace(/\.[^.]*$/, ""), file]));
  const parts = [...chosen];
  for (const detection of manifest.detections || []) {
    for (const [kind, declared] of Object.entries(detection.images || {})) {
      const name = `${detection.detection_id}_${kind}`;
      if (chosen.has(name)) continue;
      const blob = await draw(detection, kind);
      // The example's digests and sizes are of other bytes than those drawn here.
      delete declared.sha256;
      declared.size = blob.size;
      parts.push([name, blob]);
    }
  }
  const data = new FormData();
  data.append("batch", new Blob([JSON.stringify(manifest)], { type: "application/json" }));
  for (const [name, blob] of parts) data.append(name, blob, `${name}.jpg`);
  return data;
}

function draw(detection, kind) {
  const isCrop = kind === "crop";
  const [width, height] = isCrop ? [320, 80] : [1280, 720];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  const box = isCrop ? { x: 0, y: 0, width, height } : detection.box || { x: 540, y: 470, width: 200, height: 48 };
  if (!isCrop) {
    const fill = (color, ...area) => {
      pen.fillStyle = color;
      pen.fillRect(...area);
    };
    fill("#9db7d3", 0, 0, width, 320);
    fill("#58616e", 0, 320, width, 400);
    const middle = box.x + box.width / 2;
    fill("#27405f", middle - 2 * box.width, box.y - 5 * box.height, 4 * box.width, 7 * box.height);
    fill("#b9d3ea", middle - 1.5 * box.width, box.y - 4.5 * box.height, 3 * box.width, 2 * box.height);
  }
  pen.fillStyle = "#fdfdf6";
  pen.fillRect(box.x, box.y, box.width, box.height);
  pen.fillStyle = "#14161a";
  pen.font = `bold ${Math.round(box.height * 0.72)}px sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(detection.plate || "", box.x + box.width / 2, box.y + box.height / 2, box.width * 0.92);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
}

function renew(field) {
  const manifest = JSON.parse(field.value);
  const now = new Date().toISOString();
  const mark = Date.now().toString(36);
  manifest.batch_id = `try-${mark}`;
  manifest.sent_at = now;
  (manifest.detections || []).forEach((detection, at) => {
    detection.detection_id = `try-${mark}-${at + 1}`;
    detection.captured_at = now;
  });
  field.value = JSON.stringify(manifest, null, 2);
}
