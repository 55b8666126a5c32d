// Which events are shown: the reader's filters, and the list of events that pass them.
// Knows nothing about how they are drawn.

/** Events that are noise in most readings; the reader may ask for them. */
const HIDDEN_AT_FIRST = ["Heartbeat", "HeartbeatReply", "wake"];

/** Kinds of events besides messages that can be switched off. */
const EVENT_KINDS = ["wake", "state", "persist", "durable", "decided", "client", "note"];

const filters = {
  /** Indexes of the nodes that are hidden. */
  nodes: new Set(),
  /** Names of messages and kinds of events that are hidden. */
  kinds: new Set(HIDDEN_AT_FIRST),
  /** [first, last], or null. */
  slots: null,
  /** A ballot, or "". */
  ballot: "",
  /** Lower case, or "". */
  text: "",
};

/** The name under which an event is switched on and off. */
function kindOf(event) {
  return event.message ? event.message.name : event.what;
}

/** The slots that an event speaks of, or undefined. */
function slotsOf(event) {
  if (event.message) return event.message.slots;
  if (event.what === "decided") return [event.first, event.last];
  // The slot of an operation is only known at its end, but its beginning belongs to it.
  const slot = event.operationOf?.steps.find((step) => step.slot !== undefined)?.slot;
  return slot === undefined ? undefined : [slot, slot];
}

function passesNodes(event) {
  if (!filters.nodes.size) return true;
  const hidden = (node) => node !== undefined && filters.nodes.has(node);
  const message = event.message;
  return message ? !hidden(message.from) && !hidden(message.to) : !hidden(event.node);
}

function passesSlots(event) {
  if (!filters.slots) return true;
  const slots = slotsOf(event);
  return Boolean(slots) && slots[0] <= filters.slots[1] && filters.slots[0] <= slots[1];
}

function passesBallot(event) {
  if (!filters.ballot) return true;
  if (event.what === "state") return changesOf(event).some((f) => event[f] === filters.ballot);
  return event.message?.ballot === filters.ballot;
}

function passes(event) {
  if (!passesNodes(event)) return false;
  if (LANDMARKS.has(event.what)) return true;
  if (filters.kinds.has(kindOf(event))) return false;
  if (!passesSlots(event) || !passesBallot(event)) return false;
  return !filters.text || searchText(event).includes(filters.text);
}

/** The events that pass, in order; each event knows whether it does. */
let shown = [];

function applyFilters() {
  shown = [];
  for (const event of events) {
    event.isShown = passes(event);
    if (event.isShown) shown.push(event);
  }
}

/** An arrow is shown with any of its ends: half an arrow would look like a lost message. */
function isArrowShown(arrow) {
  return Boolean((arrow.start && arrow.start.isShown) || (arrow.end && arrow.end.isShown));
}

/** "7" or "7-12" or "7..12" as [first, last]; null for nothing; undefined if it is neither. */
function parseSlots(text) {
  if (!text.trim()) return null;
  const match = /^\s*(\d+)\s*(?:(?:-|\.\.)\s*(\d+))?\s*$/.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  return [first, Math.max(first, Number(match[2] ?? first))];
}

/** Whether anything is hidden that is not hidden at first. */
function isFiltered() {
  const same = filters.kinds.size === hiddenAtFirst().length && hiddenAtFirst().every((k) => filters.kinds.has(k));
  return filters.nodes.size > 0 || !same || Boolean(filters.slots || filters.ballot || filters.text);
}

/** What is there to hide at first: a run with nothing but heartbeats shows them. */
function hiddenAtFirst() {
  const there = new Set(events.map(kindOf));
  return HIDDEN_AT_FIRST.filter((kind) => there.has(kind));
}

function resetFilters() {
  filters.nodes.clear();
  filters.kinds = new Set(hiddenAtFirst());
  filters.slots = null;
  filters.ballot = "";
  filters.text = "";
}

