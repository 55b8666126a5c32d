// The column of slots: who knows how many are decided, and when each was known first.
// Knows nothing about the other columns.

/** How the lines of the nodes differ. Not by colour: colours are ballots or roles. */
const SLOT_DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 2], [10, 4], [4, 2, 1, 2]];

/** What a node knew to be decided at a place on the axis. */
function commitAt(node, pos) {
  const step = lastWhere(decisions.steps[node], (s) => s.event.pos <= pos);
  return step ? step.commit : 0;
}

/**
 * The least and the largest number of slots that the visible part of the axis has to show. A node
 * that stays behind all the time does not count: it would squeeze what the others do.
 */
function slotWindow() {
  const [from, to] = visibleRows();
  const ends = layout.lanes.map(({ node }) => [commitAt(node, from), commitAt(node, to)]);
  const moving = ends.filter(([begin, end]) => begin !== end);
  const high = Math.max(1, ...ends.map(([, end]) => end));
  const lows = (moving.length ? moving : ends.filter(([, end]) => end === high)).map(([begin]) => begin);
  return [Math.min(high - 1, ...lows), high];
}

function drawSlots() {
  if (!layout.slotsWidth) return;
  const [low, high] = slotWindow();
  const left = layout.slots + 34;
  const room = layout.slotsWidth - 34 - 10;
  const xOf = (slot) => left + (Math.max(0, slot - low) / Math.max(1, high - low)) * room;
  ctx.strokeStyle = theme.colours.line;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(layout.slots + 0.5, HEAD);
  ctx.lineTo(layout.slots + 0.5, view.height);
  ctx.stroke();
  for (const lane of layout.lanes) drawProgress(lane.node, xOf);
  nameLaggards(xOf);
  drawFirstDecisions(xOf);
  layout.slotWindow = [low, high];
}

/** A step line: it goes right when the node learns that more is decided. */
function drawProgress(node, xOf) {
  const [from, to] = visibleRows();
  const steps = decisions.steps[node];
  let x = xOf(commitAt(node, from));
  ctx.beginPath();
  ctx.moveTo(x, Math.max(HEAD, yOf(Math.max(from, 0))));
  let y = HEAD;
  for (let i = lastIndex(steps, (s) => s.event.pos <= from) + 1; i < steps.length; i += 1) {
    if (steps[i].event.pos > to) break;
    y = yOf(steps[i].event.pos);
    ctx.lineTo(x, y);
    x = xOf(steps[i].commit);
    ctx.lineTo(x, y);
  }
  ctx.lineTo(x, Math.min(view.height, yOf(scale.length)));
  ctx.strokeStyle = theme.colours.soft;
  ctx.lineWidth = 1.6;
  ctx.setLineDash(SLOT_DASHES[node % SLOT_DASHES.length]);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** Writes the names of the nodes that know less than the others to their lines, at the bottom. */
function nameLaggards(xOf) {
  const bottom = Math.min(view.height, yOf(scale.length)) - 8;
  const pos = view.top + (bottom - HEAD) / view.zoom;
  const ends = layout.lanes.map(({ node }) => ({ node, x: xOf(commitAt(node, pos)) }));
  const most = Math.max(...ends.map((end) => end.x));
  ctx.font = `10px ${SANS}`;
  ctx.textAlign = "left";
  let y = bottom;
  for (const { node, x } of ends) {
    if (x > most - 8) continue;
    halo(fitted(`${nodeName(node)}: ${commitAt(node, pos)}`, 60), x + 4, y, theme.colours.soft);
    y -= 12;
  }
}

/** A diamond and the slots' numbers where somebody knew them to be decided for the first time. */
function drawFirstDecisions(xOf) {
  const [from, to] = visibleRows();
  ctx.font = `10px ${MONO}`;
  ctx.textAlign = "right";
  let next = -Infinity;
  const { firsts } = decisions;
  for (let i = Math.max(0, lastIndex(firsts, (f) => f.event.pos < from)); i < firsts.length; i += 1) {
    const first = firsts[i];
    if (first.event.pos > to) break;
    if (filters.slots && (first.last < filters.slots[0] || first.first > filters.slots[1])) continue;
    const x = xOf(first.last);
    const y = yOf(first.event.pos);
    if (view.zoom > 4) diamond(x, y, 4, theme.colours.ink);
    hits.push({ x: x - 5, y: y - 5, w: 10, h: 10, event: first.event });
    if (y < next) continue;
    ctx.fillStyle = theme.colours.soft;
    ctx.fillText(first.first === first.last ? String(first.last) : `–${first.last}`, layout.slots + 34, y + 3.5);
    next = y + 12;
  }
}

function diamond(x, y, size, colour) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x, y - size);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size);
  ctx.lineTo(x - size, y);
  ctx.fill();
}

