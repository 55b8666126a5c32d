// Events, times and states in words, for the list, the details and the search.
// Knows nothing about the screen.

/** Simulated nanoseconds as seconds; enough digits to tell neighbours apart. */
function timeText(at, digits = 6) {
  return (at / 1e9).toFixed(digits);
}

/** A span of time in the unit that suits it. */
function spanText(nanos) {
  if (nanos < 1e3) return `${nanos} ns`;
  if (nanos < 1e6) return `${trimmed(nanos / 1e3)} µs`;
  if (nanos < 1e9) return `${trimmed(nanos / 1e6)} ms`;
  return `${trimmed(nanos / 1e9)} s`;
}

/**
 * How a node's clock differs: how far ahead of the one furthest behind it was when the run began,
 * and how much faster or slower than time it runs. Empty if in no way.
 */
function clockText(node) {
  const { offset_us: offset, drift_ppm: drift } = data.clocks[node] ?? { offset_us: 0, drift_ppm: 0 };
  const least = Math.min(...data.clocks.map((clock) => clock.offset_us), offset);
  const parts = [];
  if (offset > least) parts.push(`+${spanText((offset - least) * 1e3)}`);
  if (drift) parts.push(`${trimmed(Math.abs(drift) / 1e4)} % ${drift > 0 ? "fast" : "slow"}`);
  return parts.join(", ");
}

function trimmed(number) {
  return number >= 100 ? number.toFixed(0) : String(Number(number.toPrecision(3)));
}

/** Changes from one state to the next as "field value" pairs. */
function changesOf(event) {
  const before = priorState(event);
  return STATE_FIELDS.filter((field) => !before || before[field] !== event[field]);
}

/** The state that a node had before this event, or null. */
function priorState(event) {
  if (event.node === undefined) return null;
  const span = lastWhere(spans[event.node], (s) => s.event.i < event.i);
  return span && span.state.promised !== undefined ? span.state : null;
}

const FIELD_NAMES = { acc: "log of", last: "last", leader: "leader" };

function fieldText(field, value) {
  if (field === "role") return String(value);
  const text = field === "leader" ? (value === undefined ? "nobody" : nodeName(value)) : String(value ?? "-");
  return `${FIELD_NAMES[field] ?? field} ${text}`;
}

/** How each kind of event is said. */
const SENTENCES = {
  send: (e) => `→ ${nodeName(e.to)}  ${e.text}${fateText(e.message)}`,
  receive: (e) => `← ${nodeName(e.from)}  ${e.message.text}`,
  miss: (e) => `⊘ misses ${e.message.text} of ${nodeName(e.from)}`,
  wake: () => "wakes",
  state: (e) => `is ${changesOf(e).map((f) => fieldText(f, e[f])).join(", ") || e.role}`,
  persist: (e) => `to disk ${e.lsn}: ${e.text}`,
  durable: (e) => `durable up to ${e.lsn}`,
  decided: (e) => `decided ${slotRange([e.first, e.last])}`,
  fault: (e) => `fault ${e.index}: ${e.text} (for ${spanText(Math.max(0, e.until - e.at))})`,
  dies: (e) => `✖ dies (${e.mode})`,
  starts: (e) => `▶ starts ${e.text}`,
  healing: () => "all faults are over",
  client: (e) => `${STEP_MARKS[e.step]} c${e.client}#${e.operation} ${e.step}${atSlot(e)}: ${e.text}`,
  note: (e) => e.text,
  violation: (e) => `✖ VIOLATED ${e.check}: ${e.text}`,
};

const STEP_MARKS = { asked: "○", done: "✓", unknown: "?", failed: "✕" };

function atSlot(event) {
  return event.slot === undefined ? "" : ` at slot ${event.slot}`;
}

function fateText(message) {
  const fates = message.arrows.map((arrow) => arrow.fate);
  if (fates.includes("lost")) return "  (lost)";
  const notes = [];
  if (fates.length > 1) notes.push("duplicated");
  if (fates.includes("missed")) notes.push("missed");
  if (fates.includes("flying")) notes.push("still under way at the end");
  return notes.length ? `  (${notes.join(", ")})` : "";
}

/** The event in one line, without time and node. Computed once: lists and searches ask again. */
function sentence(event) {
  if (event.sentence === undefined) {
    const say = SENTENCES[event.what];
    event.sentence = (say ? say(event) : event.what).replace(/[\u0000-\u001f\u2028\u2029]+/g, " ");
  }
  return event.sentence;
}

/** What the search looks at. */
function searchText(event) {
  if (event.search === undefined) {
    event.search = `${nodeName(event.node)} ${event.what} ${event.message?.name ?? ""} ${sentence(event)}`.toLowerCase();
  }
  return event.search;
}

/** "12 events", "1 event". */
function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

