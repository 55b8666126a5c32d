// The diagram as a whole: in which order its layers are drawn, marks of single events, the head.
// Knows nothing about keys and about the panels beside it.

const canvas = document.getElementById("diagram");
const ctx = canvas.getContext("2d");

/** What the reader looks at. `top` is the first visible row, `zoom` the pixels of a row. */
const view = { top: 0, zoom: 18, width: 0, height: 0, selected: null, isFitted: false, hover: null, related: new Set(), past: null, visible: [] };

/** The strip below the canvas. */
const LEGEND_HEIGHT = 24;

/** What is written beside the lifelines in this frame: { event, text, x, y, width }. */
let eventLabels = [];
const EVENT_LABEL_FONT = `600 11px ${SANS}`;

/** Rectangles of the last frame that the pointer can be over, the topmost last. */
let hits = [];

/** Fits the canvas to its place, in the pixels of the screen. */
function resize() {
  const box = document.getElementById("stage").getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  view.width = Math.max(200, box.width - MINIMAP_WIDTH);
  view.height = Math.max(100, box.height - LEGEND_HEIGHT);
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(view.height * ratio);
  canvas.style.width = `${view.width}px`;
  canvas.style.height = `${view.height}px`;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
}

/** Draws what is in sight. */
function draw() {
  hits = [];
  layOutColumns(view.width);
  ctx.fillStyle = theme.colours.paper;
  ctx.fillRect(0, 0, view.width, view.height);
  ctx.textBaseline = "alphabetic";
  layOutEventLabels();
  drawSelectedRow();
  drawAxis();
  drawFaults();
  drawLifelines();
  drawPastLimits();
  view.visible = drawArrows();
  drawRelated();
  drawMarks();
  drawOperations();
  drawClientLinks();
  drawSlots();
  drawWorldMarks();
  drawFocus();
  drawHead();
  drawMinimap();
}

/** A faint band behind the selected event, through all columns. */
function drawSelectedRow() {
  if (!view.selected) return;
  ctx.fillStyle = theme.colours.panel;
  ctx.fillRect(0, yOf(view.selected.pos) - 9, view.width, 18);
}

/** The selected event's chain of causes and its effects, over everything else. */
function drawRelated() {
  const bright = new Set();
  for (const event of [view.hover, view.selected]) if (event?.message) bright.add(event.message);
  for (const arrow of view.visible) {
    const isChain = arrow.end && view.related.has(arrow.end) && view.related.has(arrow.start);
    if (!isChain && !bright.has(arrow.message)) continue;
    const colour = messageColour(arrow.message);
    ctx.globalAlpha = bright.has(arrow.message) ? 0.35 : 0.22;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 9;
    ctx.lineCap = "round";
    ctx.beginPath();
    ctx.moveTo(arrow.x0, arrow.y0);
    ctx.lineTo(arrow.x1, arrow.y1);
    ctx.stroke();
    ctx.lineCap = "butt";
    ctx.globalAlpha = 1;
    strokeGroup({ colour, width: 2.5, dash: arrow.copy ? "5 4" : "", alpha: 1 }, [arrow], false);
    // Far out, the labels of a chain lie over each other.
    const place = view.zoom >= 8 || bright.has(arrow.message) ? labelPlace(arrow) : null;
    if (place) drawLabel(arrow, place, `700 11px ${SANS}`);
  }
}

/** Marks of events on the lifelines: how each is drawn beside its lane at a height. */
const MARKS = {
  persist: (x, y, c) => { ctx.strokeStyle = c.soft; ctx.lineWidth = 1.2; ctx.strokeRect(x - 12.5, y - 3, 6, 6); },
  durable: (x, y, c) => { ctx.fillStyle = c.soft; ctx.fillRect(x - 13, y - 3.5, 7, 7); },
  decided: (x, y, c) => diamond(x, y, 4.5, c.ink),
  wake: (x, y, c) => { ctx.fillStyle = c.faint; ctx.fillRect(x + 8, y - 1, 7, 2); },
  note: (x, y, c) => { ctx.fillStyle = c.faint; ctx.beginPath(); ctx.arc(x + 11, y, 2.5, 0, 7); ctx.fill(); },
};

function drawMarks() {
  const [from, to] = visibleRows();
  const { colours } = theme;
  const begin = lastIndex(shown, (event) => event.pos < from);
  for (let i = Math.max(0, begin); i < shown.length && shown[i].pos <= to; i += 1) {
    const event = shown[i];
    const x = layout.xOf.get(event.node);
    if (x === undefined) continue;
    const y = yOf(event.pos);
    ctx.globalAlpha = isInPast(view.past, event) ? 1 : 0.15;
    if (event.what === "dies" || event.what === "starts") drawLifeMark(event, x, y);
    else if (view.zoom > 5 && MARKS[event.what]) MARKS[event.what](x, y, colours);
    const side = /persist|durable/.test(event.what) ? -14 : event.what === "wake" || event.what === "note" ? 6 : -6;
    hits.push({ x: x + side, y: y - 5, w: side === -14 ? 9 : 12, h: 10, event });
    if (event.what === "client" && view.zoom > 5) drawClientMark(event, x, y);
  }
  ctx.globalAlpha = 1;
  for (const label of eventLabels) drawEventLabel(label);
}

/** The end of a life and the beginning of another. */
function drawLifeMark(event, x, y) {
  const { colours } = theme;
  ctx.lineWidth = 3;
  ctx.strokeStyle = ctx.fillStyle = event.what === "dies" ? colours.danger : colours.ink;
  ctx.beginPath();
  if (event.what === "dies") {
    ctx.moveTo(x - 7, y - 7);
    ctx.lineTo(x + 7, y + 7);
    ctx.moveTo(x + 7, y - 7);
    ctx.lineTo(x - 7, y + 7);
    ctx.stroke();
  } else {
    ctx.moveTo(x - 7, y - 3);
    ctx.lineTo(x + 7, y - 3);
    ctx.lineTo(x, y + 7);
    ctx.fill();
  }
}

/** A small arrow from the side where clients are. */
function drawClientMark(event, x, y) {
  const side = event.step === "asked" ? 1 : -1;
  ctx.fillStyle = event.step === "asked" ? theme.colours.ink : theme.colours.soft;
  ctx.beginPath();
  ctx.moveTo(x + 12 - side * 4, y);
  ctx.lineTo(x + 12 + side * 4, y - 4);
  ctx.lineTo(x + 12 + side * 4, y + 4);
  ctx.fill();
  hits.push({ x: x + 7, y: y - 5, w: 10, h: 10, event });
}

/** From the node that a client's event happens at to the client's operation, where it matters. */
function drawClientLinks() {
  for (const event of [view.hover, view.selected]) {
    if (event?.what !== "client") continue;
    const x = layout.xOf.get(event.node);
    if (x === undefined) continue;
    ctx.strokeStyle = theme.colours.soft;
    ctx.lineWidth = 1.2;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(x + 17, yOf(event.pos));
    ctx.lineTo(layout.clients + 10 + event.operationOf.row * layout.operation, yOf(event.pos));
    ctx.stroke();
    ctx.setLineDash([]);
  }
}

/** What nodes became, or why they began or ended, beside their lifelines, where there is room. */
function layOutEventLabels() {
  eventLabels = [];
  if (view.zoom < 6) return;
  const [from, to] = visibleRows();
  const next = new Map();
  ctx.font = EVENT_LABEL_FONT;
  for (let i = Math.max(0, lastIndex(shown, (e) => e.pos < from)); i < shown.length && shown[i].pos <= to; i += 1) {
    const event = shown[i];
    const x = layout.xOf.get(event.node);
    const y = yOf(event.pos) + 13;
    if (x === undefined || y < (next.get(event.node) ?? -Infinity)) continue;
    const text = labelsOfEvent(event).find((label) => ctx.measureText(label).width < layout.laneWidth - 26);
    if (!text) continue;
    next.set(event.node, y + 12);
    eventLabels.push({ event, text, x: x + 16, y, width: ctx.measureText(text).width });
  }
}

function drawEventLabel({ event, text, x, y }) {
  ctx.globalAlpha = isInPast(view.past, event) ? 1 : 0.3;
  ctx.font = EVENT_LABEL_FONT;
  ctx.textAlign = "left";
  halo(text, x, y, event.what === "state" ? inkOf(stateColour(event)) : theme.colours.ink);
  ctx.globalAlpha = 1;
}

/** Fades the part of each lifeline that the selected event cannot depend on. */
function drawPastLimits() {
  if (!view.past) return;
  ctx.globalAlpha = 0.75;
  ctx.fillStyle = theme.colours.paper;
  for (const lane of layout.lanes) {
    const last = view.past[lane.node];
    const y = Math.max(HEAD, last < 0 ? HEAD : yOf(events[last].pos) + 1);
    if (y < view.height) ctx.fillRect(lane.x - 14, y, 28, view.height - y);
  }
  ctx.globalAlpha = 1;
}

/** What can be said of an event beside its lifeline, the longest first: the first that fits is. */
function labelsOfEvent(event) {
  if (event.what === "dies") return [`dies (${event.mode})`, "dies"];
  if (event.what === "starts") return ["starts"];
  if (event.what !== "state" || event.role === "down") return [];
  const changes = changesOf(event);
  if (!changes.includes("role") && !changes.includes("promised")) return [];
  if (isNoBallot(event.promised)) return [event.role];
  // The lifeline's shape says the role as well.
  return [`${event.role} ${event.promised}`, event.promised, event.role];
}

/** Greys of the lifeline are too faint to be read as text. */
function inkOf(colour) {
  return colour === theme.colours.none ? theme.colours.soft : colour;
}

/** The healing and violations go through all lanes. */
function drawWorldMarks() {
  for (const event of worldMarks) {
    const y = yOf(event.pos);
    if (y < HEAD - 20 || y > view.height + 20) continue;
    const isBad = event.what === "violation";
    ctx.strokeStyle = isBad ? theme.colours.danger : theme.colours.soft;
    ctx.lineWidth = isBad ? 2.5 : 1;
    ctx.setLineDash(isBad ? [] : [8, 4]);
    ctx.beginPath();
    ctx.moveTo(layout.time, y);
    ctx.lineTo(view.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    drawFlag(event, y, isBad);
  }
}

function drawFlag(event, y, isBad) {
  const room = layout.right - layout.left - 20;
  ctx.font = isBad ? `700 12px ${SANS}` : `11px ${SANS}`;
  ctx.textAlign = "left";
  const text = fitted(isBad ? `✖ ${event.check}: ${event.text}` : "all faults are over: healing", room);
  const width = ctx.measureText(text).width + 16;
  ctx.fillStyle = isBad ? theme.colours.alarm : theme.colours.paper;
  ctx.fillRect(layout.left + 4, y + (isBad ? 2 : -17), width, isBad ? 20 : 14);
  ctx.fillStyle = isBad ? theme.colours.onalarm : theme.colours.soft;
  ctx.fillText(text, layout.left + 12, y + (isBad ? 16 : -6));
  hits.push({ x: layout.left, y: y - 10, w: room, h: 32, event });
  const x = layout.xOf.get(event.node);
  if (!isBad || x === undefined) return;
  ctx.strokeStyle = theme.colours.danger;
  ctx.lineWidth = 3;
  ctx.beginPath();
  ctx.arc(x, y, 11, 0, 7);
  ctx.stroke();
}

/** Rings around what is selected and pointed at. */
function drawFocus() {
  for (const [event, width] of [[view.selected, 2.5], [view.hover, 1.2]]) {
    if (!event) continue;
    const x = layout.xOf.get(event.node);
    ctx.strokeStyle = theme.colours.accent;
    ctx.lineWidth = width;
    ctx.beginPath();
    if (x === undefined) ctx.rect(layout.time - 2, yOf(event.pos) - 8, 5, 16);
    else ctx.arc(x, yOf(event.pos), 9, 0, 7);
    ctx.stroke();
  }
}

/** The names of the columns, with what each node is at the selected event, else at the top. */
function drawHead() {
  const { colours } = theme;
  ctx.fillStyle = colours.panel;
  ctx.fillRect(0, 0, view.width, HEAD);
  ctx.fillStyle = colours.line;
  ctx.fillRect(0, HEAD - 1, view.width, 1);
  ctx.textAlign = "left";
  headText("time in s", 12, colours.soft);
  if (faults.length) headText("faults", layout.faults + 6, colours.soft);
  if (layout.clientsWidth) headText(fitted("clients", layout.clientsWidth), layout.clients + 8, colours.soft);
  if (layout.slotWindow && layout.slotsWidth) headText(`slots ${layout.slotWindow[0]}–${layout.slotWindow[1]}`, layout.slots + 8, colours.soft);
  for (const lane of layout.lanes) drawLaneHead(lane);
}

function headText(text, x, colour) {
  ctx.font = `11px ${SANS}`;
  ctx.fillStyle = colour;
  ctx.fillText(text, x, 24);
}

function drawLaneHead({ node, x }) {
  const state = stateAt(node, topEvent()) ?? { role: "down" };
  const isPlain = state.role === "down" || isNoBallot(state.promised);
  const long = isPlain ? state.role : `${state.role} ${state.promised}`;
  ctx.textAlign = "center";
  ctx.fillStyle = theme.colours.ink;
  ctx.font = `700 13px ${SANS}`;
  ctx.fillText(fitted(nodeName(node), layout.laneWidth - 10), x, 17);
  ctx.font = `11px ${SANS}`;
  ctx.fillStyle = inkOf(stateColour(state));
  const fits = ctx.measureText(long).width < layout.laneWidth - 6;
  ctx.fillText(fitted(fits ? long : state.role, layout.laneWidth - 4), x, 32);
  const clock = clockText(node);
  if (!clock) return;
  ctx.fillStyle = theme.colours.warn;
  ctx.fillText(fitted(`◷ ${clock}`, layout.laneWidth - 4), x, 47);
}

/** The index of the event that the head and the table of states speak of: what is pointed at, what is
 * selected, or what the diagram begins with. */
function topEvent() {
  const event = view.hover ?? view.selected;
  if (event) return event.i;
  const index = lastIndex(shown, (other) => other.pos <= view.top);
  return shown[Math.max(0, index)]?.i ?? -1;
}

