"use strict";
/* Draws what the server says. Every text goes through textContent, so a name stays a name. What is kept is bounded: the
   nodes that the newest state names, an hour of each, and 300 rows of one waterfall. */

const ROWS = 300;
const NOTHING = 255;
const CLASSES = 8;
const QUIET = 15000; // milliseconds without news, after which the connection is made again
const find = (id) => document.getElementById(id);
const cards = new Map(); // by key: the elements of a node, and its hour
let selected = null, source = null, heard = 0, rows = [], classes = [], reload = 0, threshold = 1;

const keyOf = (node) => node.node + "@" + node.address;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function put(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

function span(seconds) {
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
}

const percent = (share) => (share * 100).toFixed(share && share < 0.1 ? 1 : 0) + " %";
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const palette = () => ({
  classes: Array.from({ length: CLASSES }, (_, i) => colour("--c" + i)),
  track: colour("--track"), quiet: colour("--quiet"), text: colour("--text"),
});

// -- nodes --

function card(node) {
  const key = keyOf(node), root = element("button", "node");
  root.type = "button";
  root.addEventListener("click", () => select(key));
  const made = { root, hour: new Uint8Array(0), moved: new Uint8Array(0) };
  const head = element("div", "head");
  head.append(made.title = element("strong"), made.address = element("span"));
  const list = element("dl");
  for (const name of ["movement", "lost", "rate", "rssi", "restarts", "rejected"]) {
    const item = element("div");
    item.append(element("dt", "", { rate: "a second", rssi: "signal" }[name] || name), made[name] = element("dd"));
    list.append(item);
  }
  const receipts = made.receiptsItem = element("div");
  receipts.append(element("dt", "", "receipts"), made.receipts = element("dd"));
  receipts.hidden = true;
  list.append(receipts);
  made.canvas = element("canvas");
  made.canvas.setAttribute("role", "img");
  made.canvas.setAttribute("aria-label", "Class (bars) and movement (line) over the last hour");
  const axis = element("div", "axis");
  axis.append(element("span", "", "an hour ago"), element("span", "", "now"));
  root.append(head, made.name = element("div", "name"), made.held = element("div", "held"), list, made.canvas, axis,
    made.trouble = element("div", "trouble"));
  return made;
}

function showNode(node) {
  const key = keyOf(node);
  let at = cards.get(key);
  if (!at) cards.set(key, at = card(node));
  put(at.title, "node " + node.node);
  put(at.address, node.address);
  const probable = node.probability === null ? "" : " " + percent(node.probability);
  put(at.name, node.name === null ? (node.trouble ? "not classified" : "no class yet") : node.name + probable);
  const silent = "silent for " + span(node.last);
  const by = node.predicted_by === "node" ? ", as the node says" : "";
  put(at.held, node.silent ? silent : node.held === null ? "" : "for " + span(node.held) + by);
  put(at.movement, node.movement === null ? "–" : node.movement.toFixed(2) + (node.moving ? " ▲" : ""));
  at.movement.title = node.moving ? "moving" : "";
  at.movement.classList.toggle("moving", Boolean(node.moving));
  put(at.lost, percent(node.lost) + " (" + node.missing + ")");
  put(at.rate, node.rate.toFixed(1));
  put(at.rssi, node.rssi === null ? "–" : node.rssi + " dBm");
  put(at.restarts, String(node.restarts));
  put(at.rejected, String(node.rejected));
  at.receiptsItem.hidden = !node.receipts;
  put(at.receipts, node.receipts ? node.receipts.verdict.replace("_", " ") + (node.receipts.frames_behind ? " " + node.receipts.frames_behind : "") : "");
  at.receipts.className = !node.receipts || node.receipts.verdict === "behind" ? "" : node.receipts.verdict === "verified" ? "good" : "bad";
  const different = node.receipts && node.receipts.different_at !== null
    ? "Different at " + new Date(node.receipts.different_at * 1000).toLocaleTimeString() + ": " + node.receipts.difference + ". " : "";
  const shared = node.shared ? "Two senders say this id: give each node an id of its own. " : "";
  put(at.trouble, different + shared + (node.trouble || ""));
  at.root.classList.toggle("silent", node.silent);
  at.root.setAttribute("aria-pressed", String(key === selected));
  return at.root;
}

function showNodes(nodes) {
  const keys = new Set(nodes.map(keyOf));
  for (const [key, at] of cards) if (!keys.has(key)) { at.root.remove(); cards.delete(key); }
  const list = find("nodes");
  nodes.forEach((node, place) => {
    const root = showNode(node);
    if (list.children[place] !== root) list.insertBefore(root, list.children[place] || null);
  });
  find("none").hidden = nodes.length > 0;
  if (!keys.has(selected)) select(nodes.length ? keyOf(nodes[0]) : null);
}

function showLegend(names) {
  if (names.length === classes.length && names.every((name, i) => name === classes[i])) return;
  classes = names;
  find("legend").replaceChildren(...names.slice(0, 255).map((name, index) => {
    const item = element("li"), mark = element("span", "swatch");
    mark.style.background = "var(--c" + index % CLASSES + ")";
    item.append(mark, element("span", "", name));
    return item;
  }));
}

function drawHour(at, colours) {
  const canvas = at.canvas, scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (!width) return;
  canvas.width = width; canvas.height = height;
  const pen = canvas.getContext("2d"), count = at.hour.length, band = Math.round(height * 0.35);
  pen.fillStyle = colours.track;
  pen.fillRect(0, 0, width, height);
  if (!count) return;
  const place = (i) => Math.round(i * width / count);
  at.hour.forEach((index, i) => {
    if (index === NOTHING) return;
    pen.fillStyle = colours.classes[index % CLASSES];
    pen.fillRect(place(i), height - band, Math.max(1, place(i + 1) - place(i)), band);
  });
  const room = height - band - 4 * scale, level = (value) => 2 * scale + room * (1 - value);
  pen.strokeStyle = colours.quiet;
  pen.setLineDash([2 * scale, 3 * scale]);
  pen.beginPath(); pen.moveTo(0, level(threshold)); pen.lineTo(width, level(threshold)); pen.stroke();
  pen.setLineDash([]);
  pen.strokeStyle = colours.text;
  pen.lineWidth = 1.5 * scale;
  pen.beginPath();
  let drawing = false;
  at.moved.forEach((value, i) => {
    if (value === NOTHING) { drawing = false; return; }
    const x = place(i + 0.5), y = level(value / 100);
    if (drawing) pen.lineTo(x, y); else { pen.moveTo(x - 1, y); pen.lineTo(x, y); }
    drawing = true;
  });
  pen.stroke();
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function joined(before, newest, parts) {
  /* The newest parts replace the part that was not over, and follow those before it. */
  const kept = before.length === parts ? before.slice(newest.length - 1, parts - 1) : new Uint8Array(parts - newest.length).fill(NOTHING);
  const made = new Uint8Array(parts).fill(NOTHING);
  made.set(kept.slice(0, parts - newest.length));
  made.set(newest, parts - newest.length);
  return made;
}

function showHour(news) {
  const colours = palette(); // once: asking for a style takes longer than drawing
  for (const node of news.nodes) {
    const at = cards.get(keyOf(node));
    if (!at) continue;
    at.hour = joined(at.hour, bytes(node.classes), news.parts);
    at.moved = joined(at.moved, bytes(node.moved), news.parts);
    drawHour(at, colours);
  }
}

// -- the waterfall of one node --

const SHADES = ["#440154", "#472f7d", "#39568c", "#2a788e", "#1f988b", "#35b779", "#7ad151", "#d2e21b", "#fde725"]
  .map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));

function shade(share) {
  const at = Math.min(Math.max(share, 0), 1) * (SHADES.length - 1), low = Math.min(Math.floor(at), SHADES.length - 2);
  return SHADES[low].map((value, i) => value + (SHADES[low + 1][i] - value) * (at - low));
}

function levelled(row) {
  /* Divided by its mean, without the empty subcarriers: the receiver's gain does not count. */
  let sum = 0, count = 0;
  for (const value of row) if (value) { sum += value; count += 1; }
  const unit = count ? 96 * count / sum : 0;
  return row.map((value) => Math.min(255, Math.round(value * unit)));
}

function showRows(news) {
  if (keyOf(news) !== selected) return;
  const made = news.rows.map(bytes), width = made[made.length - 1].length;
  rows = rows.concat(made).filter((row) => row.length === width).slice(-ROWS);
  const canvas = find("csi"), pen = canvas.getContext("2d");
  canvas.width = width; canvas.height = ROWS;
  const levels = rows.map(levelled), counts = new Uint32Array(256);
  let total = 0;
  for (const row of levels) for (const value of row) if (value) { counts[value] += 1; total += 1; }
  const quantile = (share) => { let sum = 0; for (let v = 1; v < 256; v++) { sum += counts[v]; if (sum >= share * total) return v; } return 255; };
  const low = quantile(0.02), high = Math.max(quantile(0.98), low + 1);
  const table = Array.from({ length: 256 }, (_, value) => shade((value - low) / (high - low)));
  const image = pen.createImageData(width, ROWS);
  levels.forEach((row, i) => row.forEach((value, x) => {
    const at = ((ROWS - rows.length + i) * width + x) * 4, rgb = table[value];
    image.data[at] = rgb[0]; image.data[at + 1] = rgb[1]; image.data[at + 2] = rgb[2]; image.data[at + 3] = value ? 255 : 0;
  }));
  pen.putImageData(image, 0, 0);
}

function select(key) {
  if (key === selected) return;
  selected = key;
  rows = [];
  const canvas = find("csi");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  put(find("csi-node"), key === null ? "Choose a node." : "node " + key.replace("@", " at ") + ": 30 seconds, the newest frame at the bottom, each divided by its mean");
  for (const [other, at] of cards) at.root.setAttribute("aria-pressed", String(other === key));
  connect();
}

// -- recordings --

function showRecording(state) {
  const form = find("record");
  const text = state.running
    ? "recording " + state.file + ": " + state.frames + " frames, " + span(state.seconds) + (state.lost ? ", " + state.lost + " lost" : "")
    : (state.last ? state.last + ". " : "") + "Recordings go to " + state.folder + ".";
  put(find("recorded"), state.error || text);
  for (const button of form.querySelectorAll("button")) button.hidden = (button.value === "start") === state.running;
}

find("record").addEventListener("submit", async (event) => {
  event.preventDefault();
  const asked = { do: event.submitter ? event.submitter.value : "start" };
  for (const [name, word] of new FormData(event.target)) asked[name] = word;
  try {
    const reply = await fetch("recording", { method: "POST", body: JSON.stringify(asked), headers: { "Content-Type": "application/json" } });
    const found = await reply.json();
    put(find("record-error"), found.error && !reply.ok ? found.error : "");
    if (found.folder !== undefined) showRecording(found);
  } catch (error) {
    put(find("record-error"), "the server did not reply");
  }
});

// -- the stream of events --

function link(on, text) {
  const at = find("link");
  at.className = on ? "on" : "off";
  put(at, text);
}

function showState(state) {
  heard = Date.now();
  link(true, "live");
  threshold = state.moving_above;
  showLegend(state.classes);
  const rejected = Object.entries(state.rejected).map(([reason, count]) => count + " " + reason).join(", ");
  put(find("totals"), (state.model || "no model") + " · " + state.nodes.length + " nodes · " + state.received + " packets" +
    (rejected ? " · rejected: " + rejected : ""));
  const list = find("warnings");
  const said = state.warnings.slice(0, 20);
  if (said.length !== list.children.length || said.some((text, i) => list.children[i].textContent !== text))
    list.replaceChildren(...said.map((text) => element("li", "", text)));
  list.hidden = !said.length;
  showNodes(state.nodes);
  showRecording(state.recording);
}

function connect() {
  if (source) source.close();
  heard = Date.now();
  source = new EventSource("events" + (selected === null ? "" : "?node=" + encodeURIComponent(selected)));
  source.addEventListener("state", (event) => showState(JSON.parse(event.data)));
  source.addEventListener("hour", (event) => showHour(JSON.parse(event.data)));
  source.addEventListener("rows", (event) => showRows(JSON.parse(event.data)));
  source.addEventListener("error", () => link(false, "not connected: is the server running?"));
}

function redraw() {
  const colours = palette();
  for (const at of cards.values()) drawHour(at, colours);
}

setInterval(() => { if (Date.now() - heard > QUIET) { link(false, "no news; connecting again"); connect(); } }, 5000);
window.addEventListener("resize", () => { clearTimeout(reload); reload = setTimeout(redraw, 200); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
connect();
