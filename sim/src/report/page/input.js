// What the reader does: selecting, stepping, zooming, panning, keys, pointer.
// Knows nothing about how things look.

const ZOOM_MIN = 0.02;
const ZOOM_MAX = 80;

let isFrameDue = false;

/** Draws once before the screen shows the next picture, however much changed until then. */
function redraw() {
  if (isFrameDue) return;
  isFrameDue = true;
  requestAnimationFrame(() => {
    isFrameDue = false;
    draw();
  });
}

/** After a change of filters, scale or size: lays out everything that depends on them. */
function layOutAll() {
  const anchor = view.selected ? view.selected.at : timeOf(view.top + 4);
  const offset = view.selected ? view.selected.pos - view.top : 4;
  applyFilters();
  layOutTime();
  layOutArrows();
  forgetMinimap();
  view.top = (view.selected ? view.selected.pos : positionOfTime(anchor)) - offset;
  if (view.isFitted) fitAll();
  clampView();
  byId("nothing").hidden = shown.length > 0;
  showList();
  revealInList();
  showFilters();
  redraw();
}

function clampView() {
  const rows = (view.height - HEAD) / view.zoom;
  view.top = Math.max(-1, Math.min(view.top, Math.max(-1, scale.length - rows + 2)));
}

/** Selects an event, and brings it into sight if that is asked for. */
function select(event, reveal) {
  view.selected = event;
  view.related = event ? related(event) : new Set();
  view.past = event && byId("past").checked ? pastOf(event) : null;
  if (event && reveal) revealInDiagram(event);
  revealInList();
  showList();
  showStates();
  showDetails();
  rememberPlace();
  redraw();
}

function revealInDiagram(event) {
  const rows = (view.height - HEAD) / view.zoom;
  const margin = Math.min(3, rows / 4);
  if (event.pos < view.top + margin || event.pos > view.top + rows - margin) view.top = event.pos - rows * 0.4;
  clampView();
}

/** The next event that is shown, so many further on. */
function step(by) {
  if (!shown.length) return;
  const index = view.selected ? lastIndex(shown, (e) => e.i < view.selected.i) + 1 : lastIndex(shown, (e) => e.pos < view.top);
  const isShown = shown[index] === view.selected;
  const next = by > 0 && !isShown && view.selected ? index : index + by;
  select(shown[Math.max(0, Math.min(shown.length - 1, next))], true);
}

/** The next or previous thing that went wrong. */
function stepTrouble(by) {
  const troubles = shown.filter((e) => e.what === "fault" || e.what === "dies" || e.what === "violation");
  const from = view.selected ? view.selected.i : by > 0 ? -1 : events.length;
  const next = by > 0 ? troubles.find((e) => e.i > from) : troubles.findLast((e) => e.i < from);
  if (next) select(next, true);
}

/** To the other end of the selected event's message. */
function followMessage() {
  const event = view.selected;
  if (!event?.message) return;
  const other = event.what === "send" ? event.message.arrivals[0] : event.message.send;
  if (other) select(other, true);
}

function followCause() {
  const cause = view.selected ? causeOf(view.selected) : null;
  if (cause) select(cause, true);
}

/** Zooms so that what is at a height stays there. */
function zoomBy(factor, y) {
  view.isFitted = false;
  const at = view.top + (y - HEAD) / view.zoom;
  view.zoom = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, view.zoom * factor));
  view.top = at - (y - HEAD) / view.zoom;
  clampView();
  redraw();
}

function zoomAtFocus(factor) {
  const y = view.selected ? yOf(view.selected.pos) : view.height / 2;
  zoomBy(factor, y > HEAD && y < view.height ? y : view.height / 2);
}

function fitAll() {
  // A little room below, for the flag of a violation.
  const height = view.height - HEAD - 28;
  view.zoom = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, height / (scale.length + 1)));
  view.top = 0;
  view.isFitted = true;
  clampView();
  redraw();
}

function panBy(pixels) {
  view.top += pixels / view.zoom;
  clampView();
  if (!view.selected) showStates();
  redraw();
}

/** What is at a point of the diagram: marks lie over arrows. */
function eventAt(x, y) {
  if (y < HEAD) return null;
  for (let i = hits.length - 1; i >= 0; i -= 1) {
    const hit = hits[i];
    if (x >= hit.x && x <= hit.x + hit.w && y >= hit.y && y <= hit.y + hit.h) return hit.event;
  }
  const arrow = arrowAt(view.visible, x, y);
  if (!arrow) return stateEventAt(x, y);
  const isNearEnd = Math.abs(x - arrow.x1) < Math.abs(x - arrow.x0);
  return (isNearEnd ? arrow.end : arrow.start) ?? arrow.start ?? arrow.end;
}

/** On a lifeline: the event that brought about the state that the node has there. */
function stateEventAt(x, y) {
  const lane = layout.lanes.find((l) => Math.abs(l.x - x) < 8);
  const pos = view.top + (y - HEAD) / view.zoom;
  const span = lane ? lastWhere(spans[lane.node], (s) => s.event.pos <= pos) : null;
  return span ? span.event : null;
}

function hover(event, x, y) {
  showTip(event, x, y);
  if (event === view.hover) return;
  view.hover = event;
  canvas.style.cursor = event ? "pointer" : "grab";
  showDetails();
  showStates();
  redraw();
}

/** Drags of the diagram move it; a press that does not move selects. */
function listenToPointer() {
  let drag = null;
  canvas.addEventListener("pointerdown", (e) => {
    drag = { y: e.clientY, moved: 0 };
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!drag) return hover(eventAt(e.offsetX, e.offsetY), e.offsetX, e.offsetY);
    const by = drag.y - e.clientY;
    drag = { y: e.clientY, moved: drag.moved + Math.abs(by) };
    if (drag.moved > 3) {
      hover(null);
      panBy(by);
    }
  });
  canvas.addEventListener("pointerup", (e) => {
    const isClick = drag && drag.moved <= 3;
    drag = null;
    if (isClick) select(eventAt(e.offsetX, e.offsetY), false);
  });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("dblclick", followMessage);
  const wheel = (e) => {
    e.preventDefault();
    if (e.ctrlKey || e.metaKey) zoomBy(Math.exp(-e.deltaY * 0.003), e.offsetY);
    else panBy(e.deltaY * (e.deltaMode === 1 ? 20 : 1));
  };
  byId("stage").addEventListener("wheel", wheel, { passive: false });
  const jump = (e) => {
    view.top = (e.offsetY / view.height) * scale.length - (view.height - HEAD) / view.zoom / 2;
    panBy(0);
  };
  minimap.addEventListener("pointerdown", (e) => { minimap.setPointerCapture(e.pointerId); jump(e); });
  minimap.addEventListener("pointermove", (e) => { if (e.buttons) jump(e); });
}

const screenful = () => (view.height - HEAD) * 0.8;

/** What each key does. */
const ACTIONS = {
  ArrowDown: () => step(1), ArrowRight: () => step(1), j: () => step(1),
  ArrowUp: () => step(-1), ArrowLeft: () => step(-1), k: () => step(-1),
  PageDown: () => panBy(screenful()), PageUp: () => panBy(-screenful()),
  " ": (e) => panBy(e.shiftKey ? -screenful() : screenful()),
  Home: () => select(shown[0] ?? null, true), End: () => select(shown[shown.length - 1] ?? null, true),
  n: () => stepTrouble(1), p: () => stepTrouble(-1),
  Enter: followMessage, b: followCause,
  w: () => toggle("past"),
  "+": () => zoomAtFocus(1.3), "=": () => zoomAtFocus(1.3), "-": () => zoomAtFocus(1 / 1.3),
  f: fitAll,
  t: () => flip("scale"), c: () => flip("colours"),
  h: toggleHeartbeats,
  "/": () => byId("text-filter").focus(),
  "?": () => byId("help").showModal(),
  Escape: () => select(null, false),
};

function toggle(id) {
  byId(id).checked = !byId(id).checked;
  byId(id).dispatchEvent(new Event("change"));
}

/** The other one of two options. */
function flip(id) {
  byId(id).selectedIndex = 1 - byId(id).selectedIndex;
  byId(id).dispatchEvent(new Event("change"));
}

function listenToKeys() {
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    const target = e.target instanceof Element ? e.target : document.body;
    if (target.matches("input:not([type=checkbox]), select")) {
      if (e.key === "Escape") byId("stage").focus();
      return;
    }
    // Buttons and boxes keep the keys that work them.
    if (target.matches("button, summary, input") && (e.key === " " || e.key === "Enter")) return;
    const action = ACTIONS[e.key];
    if (!action) return;
    e.preventDefault();
    action(e);
  });
}

