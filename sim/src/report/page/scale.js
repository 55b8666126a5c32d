// Where a moment is on the axis of time, in rows: without idle time, or to scale.
// Knows nothing about pixels; a view multiplies rows by its zoom.

/** Idle times from here on get a mark, because the axis hides their length. */
const GAP_MIN = 20e6;

const scale = {
  mode: "compressed",
  /** Moments { at, pos } of the events that are shown, in order. */
  stops: [],
  /** Idle times { from, to, span }, in rows. */
  gaps: [],
  /** Rows in all. */
  length: 1,
};

/**
 * Rows from one event of the simulation to the next. At least one, so that labels do not overlap;
 * then by the logarithm of the time, so that a message of 100 µs and a pause of a second both fit.
 */
function rowsBetween(nanos) {
  return 1 + Math.min(4, 0.4 * Math.log2(1 + nanos / 20e3));
}

/** Lays out the axis for the events that are shown, and gives every event its place on it. */
function layOutTime() {
  scale.stops = [];
  scale.gaps = [];
  let last = null;
  for (const event of shown) {
    if (last && event.n === last.n && event.at === last.at) continue;
    const pos = last ? last.pos + rowsBetween(event.at - last.at) : 1;
    const stop = { n: event.n, at: event.at, pos };
    if (last && event.at - last.at >= GAP_MIN) scale.gaps.push({ from: last.pos, to: pos, span: event.at - last.at });
    scale.stops.push(stop);
    last = stop;
  }
  scale.length = (last ? last.pos : 0) + 2;
  if (scale.mode === "real") toScale();
  for (const event of events) event.pos = positionOf(event);
}

/** Replaces the stops' places by places in proportion to time, over the same length. */
function toScale() {
  scale.gaps = [];
  const first = scale.stops[0];
  const last = scale.stops[scale.stops.length - 1];
  if (!first || last.at === first.at) return;
  const rows = (scale.length - 3) / (last.at - first.at);
  for (const stop of scale.stops) stop.pos = 1 + (stop.at - first.at) * rows;
}

/** The place of an event; a hidden one lies between those that are shown. */
function positionOf(event) {
  const { stops } = scale;
  const index = lastIndex(stops, (stop) => stop.at < event.at || (stop.at === event.at && stop.n <= event.n));
  return between(index, event.at);
}

/** The place of a moment. */
function positionOfTime(at) {
  return between(lastIndex(scale.stops, (stop) => stop.at <= at), at);
}

function between(index, at) {
  const { stops } = scale;
  if (index < 0) return 0.4;
  const stop = stops[index];
  const next = stops[index + 1];
  if (!next) return at > stop.at ? Math.min(stop.pos + rowsBetween(at - stop.at), scale.length) : stop.pos;
  if (next.at === stop.at) return stop.pos;
  return stop.pos + ((at - stop.at) / (next.at - stop.at)) * (next.pos - stop.pos);
}

/** The moment at a place: the inverse of `positionOfTime`. */
function timeOf(pos) {
  const { stops } = scale;
  const index = lastIndex(stops, (stop) => stop.pos <= pos);
  if (index < 0) return stops.length ? stops[0].at : 0;
  const stop = stops[index];
  const next = stops[index + 1];
  if (!next || next.pos === stop.pos) return stop.at;
  return stop.at + ((pos - stop.pos) / (next.pos - stop.pos)) * (next.at - stop.at);
}

/** The index of the last element that `isBefore` holds for, or -1. */
function lastIndex(list, isBefore) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(list[middle])) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

