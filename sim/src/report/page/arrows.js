// Messages as arrows: where they run, how they look, what is written on them.
// Knows nothing about lifelines but where they are.

/** So many labels can be read at once; with more arrows than that they only hide each other. */
const LABELS_MAX = 260;

/** Where the arrow runs, in pixels; kept in the arrow, so that nothing is made anew for a frame. */
function placeArrow(arrow) {
  const { message } = arrow;
  const x0 = layout.xOf.get(message.from);
  const x1 = layout.xOf.get(message.to);
  if (x0 === undefined || x1 === undefined) return false;
  const side = Math.sign(x1 - x0) || 1;
  const edge = side * (BAR / 2 + 1);
  const [pos0, pos1] = arrow.rows;
  arrow.x0 = x0 + edge;
  arrow.y0 = yOf(pos0);
  arrow.x1 = x1 - edge;
  arrow.y1 = yOf(pos1);
  if (arrow.fate === "lost") arrow.x1 = x0 + side * layout.laneWidth * lostReach(x0, x1);
  return true;
}

/** How far a lost message gets, in lanes: the nearer its receiver, the shorter, so that two that
 * one node sends to the same side do not cover each other. */
function lostReach(x0, x1) {
  const lanes = Math.abs(x1 - x0) / layout.laneWidth;
  return 0.4 + 0.12 * Math.min(3, lanes);
}

/** From where to where each arrow goes on the axis of time; they only change with the axis. */
function layOutArrows() {
  for (const arrow of arrows) {
    const begin = arrow.start ? arrow.start.pos : arrow.end.pos - 1.5;
    const lost = begin + 1.5;
    const end = arrow.end ? arrow.end.pos : arrow.fate === "flying" ? positionOfTime(arrow.at) : lost;
    arrow.rows = [begin, Math.max(begin, end)];
    arrow.isShown = isArrowShown(arrow);
  }
  arrows.sort((a, b) => a.rows[0] - b.rows[0]);
  // How far the arrows up to this one reach: what ends above the screen need not be looked at.
  let reach = 0;
  for (const arrow of arrows) arrow.reach = reach = Math.max(reach, arrow.rows[1]);
}

function isDimmed(arrow) {
  if (!view.past) return false;
  const end = arrow.end ?? arrow.start;
  return !(isInPast(view.past, end) && (!arrow.start || isInPast(view.past, arrow.start)));
}

function visibleArrows() {
  const [from, to] = visibleRows();
  const visible = [];
  for (let i = lastIndex(arrows, (a) => a.reach < from) + 1; i < arrows.length && arrows[i].rows[0] <= to; i += 1) {
    const arrow = arrows[i];
    if (arrow.isShown && arrow.rows[1] >= from && placeArrow(arrow)) visible.push(arrow);
  }
  return visible;
}

/** Draws all arrows in sight; those of one look in one stroke, which is what makes it fast. */
function drawArrows() {
  const visible = visibleArrows();
  const looks = new Map();
  const crowd = visible.length > 1500 ? 0.35 : visible.length > 500 ? 0.6 : 1;
  for (const arrow of visible) {
    const look = lookOf(arrow, crowd);
    const key = `${look.colour} ${look.width} ${look.dash} ${look.alpha}`;
    let group = looks.get(key);
    if (!group) looks.set(key, (group = { look, arrows: [] }));
    group.arrows.push(arrow);
  }
  for (const { look, arrows: group } of looks.values()) strokeGroup(look, group, crowd < 0.5);
  ctx.globalAlpha = 1;
  ctx.setLineDash([]);
  if (visible.length < LABELS_MAX && view.zoom >= 8) drawLabels(visible);
  return visible;
}

function lookOf(arrow, crowd) {
  const { message } = arrow;
  const isQuiet = message.family === "heartbeat";
  return {
    colour: messageColour(message),
    width: message.family === "election" ? 2 : isQuiet ? 1 : 1.4,
    dash: arrow.copy ? "5 4" : arrow.fate === "flying" ? "2 4" : "",
    alpha: (isDimmed(arrow) ? 0.1 : isQuiet ? 0.6 : arrow.fate === "flying" ? 0.5 : 1) * crowd,
  };
}

function strokeGroup(look, group, isCrowded) {
  ctx.globalAlpha = look.alpha;
  ctx.strokeStyle = ctx.fillStyle = look.colour;
  ctx.lineWidth = look.width;
  ctx.setLineDash(look.dash ? look.dash.split(" ").map(Number) : []);
  ctx.beginPath();
  for (const a of group) {
    ctx.moveTo(a.x0, a.y0);
    ctx.lineTo(a.x1, a.y1);
  }
  ctx.stroke();
  ctx.setLineDash([]);
  for (const a of group) if (!isCrowded || a.fate !== "received") drawEnd(a, look.colour);
}

/** How the arrow ends: a head, a cross in the air, or a crossed circle where nobody listens. */
function drawEnd(arrow, colour) {
  const { x1, y1, fate } = arrow;
  if (fate === "received") return arrowHead(arrow, colour);
  if (fate === "flying") return;
  ctx.strokeStyle = fate === "lost" ? theme.colours.danger : colour;
  ctx.lineWidth = 2;
  ctx.beginPath();
  if (fate === "missed") ctx.arc(x1, y1, 5, 0, 7);
  const r = 4;
  ctx.moveTo(x1 - r, y1 + r);
  ctx.lineTo(x1 + r, y1 - r);
  if (fate === "lost") {
    ctx.moveTo(x1 - r, y1 - r);
    ctx.lineTo(x1 + r, y1 + r);
  }
  ctx.stroke();
}

function arrowHead({ x0, y0, x1, y1 }, colour) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1;
  const ux = (x1 - x0) / length;
  const uy = (y1 - y0) / length;
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x1 - ux * 8 - uy * 3.5, y1 - uy * 8 + ux * 3.5);
  ctx.lineTo(x1 - ux * 8 + uy * 3.5, y1 - uy * 8 - ux * 3.5);
  ctx.fill();
}

function labelOf(message) {
  const slots = slotRange(message.slots);
  return slots ? `${message.name} ${slots}` : message.name;
}

/**
 * Writes on the arrows, in the gap beside the receiver: what one node sends to several others at
 * once begins at the same point, but ends in different gaps. A label that would cover another is
 * left out; pointing at the arrow shows it.
 */
function drawLabels(visible) {
  const taken = eventLabels.map((label) => ({ x: label.x + label.width / 2, y: label.y, width: label.width }));
  for (const arrow of visible) {
    if (isDimmed(arrow) || arrow.copy || arrow.fate === "flying") continue;
    const place = labelPlace(arrow);
    if (!place) continue;
    const width = Math.min(place.room, labelOf(arrow.message).length * 6);
    const box = { x: place.x, y: place.y, width, rise: Math.abs(Math.sin(place.angle)) * width * 0.3 };
    if (taken.some((other) => areOver(box, other))) continue;
    taken.push(box);
    drawLabel(arrow, place);
  }
}

/** Whether two labels would cover each other. */
function areOver(a, b) {
  const height = 11 + Math.max(a.rise ?? 0, b.rise ?? 0);
  return Math.abs(a.y - b.y) < height && Math.abs(a.x - b.x) < (a.width + b.width) / 2;
}

/** The middle of the last gap that the arrow crosses, and how much room is there. */
function labelPlace(arrow) {
  const { x0, y0, x1, y1 } = arrow;
  const run = x1 - x0;
  const room = Math.min(Math.abs(run), layout.laneWidth) - 16;
  if (room < 30) return null;
  const x = arrow.fate === "lost" ? (x0 + x1) / 2 : x1 - Math.sign(run) * (layout.laneWidth / 2 - BAR / 2);
  const t = (x - x0) / run;
  return { x, y: y0 + (y1 - y0) * t, room, angle: Math.atan2(y1 - y0, Math.abs(run)) * Math.sign(run) };
}

function drawLabel(arrow, { x, y, room, angle }, font = `11px ${SANS}`) {
  ctx.font = font;
  ctx.textAlign = "center";
  const text = fitted(labelOf(arrow.message), room);
  if (!text) return;
  ctx.save();
  ctx.translate(x, y);
  // Writing that leans more than this is no easier to read than level writing.
  ctx.rotate(Math.abs(angle) < 0.6 ? angle : 0);
  const isQuiet = arrow.message.family === "heartbeat";
  halo(text, 0, -4, isQuiet ? theme.colours.soft : messageColour(arrow.message));
  ctx.restore();
}

/** The arrow under the pointer, or null. */
function arrowAt(visible, x, y) {
  let best = null;
  let least = 6;
  for (const arrow of visible) {
    const distance = distanceTo(arrow, x, y);
    if (distance < least) {
      least = distance;
      best = arrow;
    }
  }
  return best;
}

function distanceTo({ x0, y0, x1, y1 }, x, y) {
  const dx = x1 - x0;
  const dy = y1 - y0;
  const t = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x0 - t * dx, y - y0 - t * dy);
}

