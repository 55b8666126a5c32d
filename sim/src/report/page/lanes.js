// The columns of the diagram: where each is, and the axis, faults, lifelines and operations in them.
// Knows nothing about messages.

/** The height of the columns' names, with a line for clocks that differ, and the width of a leader's
 * lifeline. */
const HEAD = data.nodes.some((_, node) => clockText(node)) ? 54 : 40;
const BAR = 12;

/** The width of a band, of a lane that has room for a word, and of all that stands beside lanes. */
const FAULT_WIDTH = 16;
const LANE_WIDTH_WANTED = 110;
const SIDE_WIDTH_WANTED = 380;

/**
 * Where the columns are, in pixels from the left: `time` is where the axis ends; `fault` and
 * `operation` are the widths of one of each; `lanes` are the lifelines of the nodes that are shown.
 */
const layout = { time: 84, fault: FAULT_WIDTH, operation: 9, lanes: [], laneWidth: 0 };

function layOutColumns(width) {
  const visible = data.nodes.map((_, node) => node).filter((node) => !filters.nodes.has(node));
  // Lifelines come first: what stands beside them shrinks until each has room for a word.
  const free = width - layout.time - visible.length * LANE_WIDTH_WANTED;
  const share = Math.max(0.45, Math.min(1, free / SIDE_WIDTH_WANTED));
  layout.fault = Math.round(FAULT_WIDTH * Math.max(0.7, share));
  layout.operation = 9 * share;
  layout.faults = layout.time;
  layout.left = layout.time + (faults.length ? Math.max(44, faultRows * layout.fault + 10) : 0);
  layout.clientsWidth = operations.length ? Math.max(50, operationRows * layout.operation + 20) : 0;
  layout.slotsWidth = decisions.known && width > 560 ? Math.max(84, 150 * share) : 0;
  layout.slots = width - layout.slotsWidth;
  layout.clients = layout.slots - layout.clientsWidth;
  layout.right = layout.clients;
  layout.laneWidth = (layout.right - layout.left) / Math.max(1, visible.length);
  layout.lanes = visible.map((node, i) => ({ node, x: layout.left + (i + 0.5) * layout.laneWidth }));
  layout.xOf = new Map(layout.lanes.map((lane) => [lane.node, lane.x]));
}

function yOf(pos) {
  return HEAD + (pos - view.top) * view.zoom;
}

/** The rows that can be seen, a little more on both sides. */
function visibleRows() {
  return [view.top - 2, view.top + (view.height - HEAD) / view.zoom + 2];
}

function halo(text, x, y, colour) {
  ctx.strokeStyle = theme.colours.paper;
  ctx.lineWidth = 3.5;
  ctx.lineJoin = "round";
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** As much of the text as fits, with a mark where it was cut. */
function fitted(whole, width) {
  // No line has room for more, and measuring all of a long request takes its time.
  const text = whole.slice(0, 300);
  if (ctx.measureText(text).width <= width) return text;
  let end = Math.max(1, Math.floor((text.length * width) / ctx.measureText(text).width) - 1);
  while (end > 1 && ctx.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return end > 2 ? `${text.slice(0, end)}…` : "";
}

/** Times at the left, no nearer to each other than can be read, and the idle times that are cut. */
function drawAxis() {
  const { colours } = theme;
  ctx.fillStyle = colours.panel;
  ctx.fillRect(0, HEAD, layout.time, view.height);
  ctx.textAlign = "right";
  ctx.font = `11px ${MONO}`;
  const taken = drawGaps();
  let next = HEAD + 4;
  let said = "";
  const [from, to] = visibleRows();
  const { stops } = scale;
  for (let i = Math.max(0, lastIndex(stops, (s) => s.pos < from)); i < stops.length && stops[i].pos < to; i += 1) {
    const y = yOf(stops[i].pos);
    if (y < next || taken.some((gap) => Math.abs(gap - y) < 13)) continue;
    const text = timeText(stops[i].at);
    // What differs only in nanoseconds is the same moment to the eye.
    if (text === said) continue;
    said = text;
    ctx.fillStyle = colours.soft;
    ctx.fillText(text, layout.time - 8, y + 4);
    // Far out, neighbours say nearly the same time.
    next = y + (view.zoom < 6 ? 44 : 16);
  }
}

function drawGaps() {
  const [from, to] = visibleRows();
  const taken = [];
  for (const gap of scale.gaps) {
    if (gap.to < from || gap.from > to || (gap.to - gap.from) * view.zoom < 18) continue;
    const y = yOf((gap.from + gap.to) / 2);
    ctx.strokeStyle = theme.colours.line;
    ctx.setLineDash([1, 5]);
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(layout.time, y);
    ctx.lineTo(view.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.font = `italic 11px ${SANS}`;
    ctx.fillStyle = theme.colours.faint;
    ctx.fillText(`⋮ ${spanText(gap.span)}`, layout.time - 8, y + 4);
    taken.push(y);
  }
  ctx.font = `11px ${MONO}`;
  return taken;
}

/** Which pattern stands for a fault; its label says what it is. */
function faultPattern(name) {
  if (/cut|isolate|flap/.test(name)) return "stripes";
  if (/clog/.test(name)) return "dots";
  if (/disk/.test(name)) return "rows";
  if (/clock|transfer/.test(name)) return "columns";
  return "back";
}

/** A band with its label, which stays in sight while any of the band is. */
function drawBand(x, width, fault, label, isBright) {
  const y0 = yOf(positionOfTime(fault.at));
  const y1 = Math.max(y0 + 4, yOf(positionOfTime(fault.until)));
  if (y1 < HEAD || y0 > view.height) return;
  const { colours } = theme;
  // Without a label it shares its place with others, and must not grow solid.
  const faint = label ? 1 : 0.4;
  ctx.globalAlpha = isBright ? 0.5 : 0.22 * faint;
  ctx.fillStyle = colours.warn;
  ctx.fillRect(x, y0, width, y1 - y0);
  ctx.globalAlpha = isBright ? 0.9 : 0.5 * faint;
  ctx.fillStyle = patternOf(faultPattern(fault.event.name), colours.warn, 1);
  ctx.fillRect(x, y0, width, y1 - y0);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours.warn;
  ctx.fillRect(x, y0, width, 1.5);
  hits.push({ x, y: y0, w: width, h: y1 - y0, event: fault.event });
  const top = Math.max(y0, HEAD) + 5;
  const room = Math.min(y1, view.height) - top - 2;
  if (room < 40 || !label) return;
  ctx.save();
  ctx.translate(x + width / 2 + 4, top);
  ctx.rotate(Math.PI / 2);
  ctx.textAlign = "left";
  ctx.font = `600 10px ${SANS}`;
  halo(fitted(label, room), 0, 1, colours.ink);
  ctx.restore();
}

/** All faults in a column of their own, and on the lanes that they hit. */
function drawFaults() {
  for (const fault of faults) {
    const isBright = fault.event === view.hover || fault.event === view.selected;
    drawBand(layout.faults + 6 + fault.row * layout.fault, layout.fault - 3, fault, fault.isCrowded ? "" : fault.event.text, isBright);
    for (const strip of fault.strips) {
      const x = layout.xOf.get(strip.node);
      if (x === undefined) continue;
      const label = strip.isCrowded ? "" : strip.label;
      drawBand(x - Math.max(26, layout.laneWidth * 0.2) - strip.row * 14, 12, fault, label, isBright);
    }
  }
}

/** What of each fault belongs onto which lane. Ends and starts show on the lifeline itself. */
function layOutStrips() {
  const lanes = perNode();
  for (const fault of faults) {
    fault.strips = [];
    const { name, nodes, links } = fault.event;
    if (/crash|blackout|absence/.test(name)) continue;
    const peers = new Map();
    for (const node of nodes) peers.set(node, []);
    for (const [from, to] of links) {
      peers.set(from, [...(peers.get(from) ?? []), `→${nodeName(to)}`]);
      peers.set(to, [...(peers.get(to) ?? []), `←${nodeName(from)}`]);
    }
    for (const [node, others] of peers) {
      const strip = { node, from: fault.at, to: fault.until, label: [name, ...others].join(" ") };
      fault.strips.push(strip);
      lanes[node]?.push(strip);
    }
  }
  for (const lane of lanes) packRows(lane, 3);
}

/** The lifelines: shape says the role, colour the ballot (or the role again). */
function drawLifelines() {
  const [from, to] = visibleRows();
  for (const lane of layout.lanes) {
    const list = bands[lane.node];
    ctx.fillStyle = theme.colours.line;
    for (let y = HEAD; y < view.height; y += 7) ctx.fillRect(lane.x - 0.5, y, 1, 3);
    for (let i = Math.max(0, lastIndex(list, (s) => s.event.pos < from)); i < list.length; i += 1) {
      const band = list[i];
      if (band.event.pos > to) break;
      const y0 = Math.max(yOf(band.event.pos), HEAD);
      const y1 = Math.min(yOf(band.end ? band.end.pos : scale.length), view.height);
      if (y1 > y0) drawLife(lane.x, y0, y1, band.state);
    }
  }
}

function drawLife(x, y0, y1, state) {
  const colour = stateColour(state);
  const height = Math.max(1, y1 - y0);
  ctx.fillStyle = colour;
  if (state.role === "leading") {
    ctx.fillRect(x - BAR / 2, y0, BAR, height);
  } else if (state.role === "campaigning") {
    ctx.fillStyle = theme.colours.paper;
    ctx.fillRect(x - BAR / 2, y0, BAR, height);
    ctx.fillStyle = patternOf("stripes", colour, 2.5);
    ctx.fillRect(x - BAR / 2, y0, BAR, height);
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.strokeRect(x - BAR / 2 + 0.75, y0 + 0.75, BAR - 1.5, Math.max(0, height - 1.5));
  } else if (state.role === "forming") {
    for (let y = y0; y < y1; y += 8) ctx.fillRect(x - 2, y, 4, Math.min(4, y1 - y));
  } else if (state.role !== "down") {
    ctx.fillRect(x - 2.5, y0, 5, height);
  }
  // Its log is still of another ballot than the one that it promised.
  if (state.role !== "down" && state.acc !== state.promised && theme.by === "ballot") {
    ctx.fillStyle = ballotColour(state.acc);
    ctx.fillRect(x + BAR / 2 + 2, y0, 2.5, height);
  }
}

/** Operations as bars from the first time that they reach a node until the client knows. */
function drawOperations() {
  const [from, to] = visibleRows();
  const { colours } = theme;
  ctx.textAlign = "center";
  for (const operation of operations) {
    const start = operation.steps[0];
    const end = operation.end;
    const endPos = end ? end.pos : scale.length;
    if (endPos < from || start.pos > to || !isOperationShown(operation)) continue;
    const x = layout.clients + 14 + operation.row * layout.operation;
    const y0 = yOf(start.pos);
    const y1 = Math.max(y0 + 2, yOf(endPos));
    const colour = end ? STEP_COLOURS[end.step](colours) : colours.faint;
    const isBright = operation.steps.includes(view.hover) || operation.steps.includes(view.selected);
    ctx.globalAlpha = isBright ? 0.9 : 0.4;
    ctx.fillStyle = colour;
    const width = Math.min(5, layout.operation - 1.5);
    ctx.fillRect(x - width / 2, y0, width, y1 - y0);
    ctx.globalAlpha = 1;
    hits.push({ x: x - 4, y: y0 - 2, w: 8, h: y1 - y0 + 4, event: end ?? start });
    if (view.zoom < 5) continue;
    ctx.font = `700 10px ${SANS}`;
    for (const step of operation.steps) {
      halo(STEP_MARKS[step.step], x, yOf(step.pos) + 4, step.step === "asked" ? colours.ink : colour);
      hits.push({ x: x - 4, y: yOf(step.pos) - 4, w: 8, h: 8, event: step });
    }
  }
}

const STEP_COLOURS = { done: (c) => c.b2, unknown: (c) => c.b1, failed: (c) => c.danger, asked: (c) => c.faint };

function isOperationShown(operation) {
  return operation.steps.some((step) => step.isShown);
}

