// What was recorded, arranged for questions: events, states of nodes, faults, operations, slots.
// Knows nothing about the screen.

const data = JSON.parse(document.getElementById("data").textContent);
const events = data.events;
const nodeCount = data.nodes.length;
const endOfTime = events.length ? events[events.length - 1].at : 0;

/** Fields of a node's state, in the order in which people read them. */
const STATE_FIELDS = ["role", "promised", "acc", "leader", "last", "durable", "commit", "applied"];

/** Columns for faults and for operations at the same time; more would leave no room for nodes. */
const FAULT_ROWS_MAX = 7;
const OPERATION_ROWS_MAX = 9;

/** Events that orient the reader: filters by slot, ballot or text never hide them. */
const LANDMARKS = new Set(["fault", "dies", "starts", "healing", "violation"]);

function nodeName(index) {
  if (index === undefined || index === null) return "world";
  return data.nodes[index] ?? `node ${index}`;
}

/** Lists with one list a node. */
function perNode() {
  return data.nodes.map(() => []);
}

/** Gives each event its index and the neighbours on its own lifeline. */
function linkEvents() {
  const last = perNode().map(() => null);
  events.forEach((event, index) => {
    event.i = index;
    event.before = null;
    if (event.node === undefined) return;
    event.before = last[event.node] ?? null;
    last[event.node] = event;
  });
}

/**
 * What became of each batch that was handed to a disk: `syncedBy` is when it was durable, and
 * `synced` are the batches that one sync covered, by their numbers, since several may be under way.
 */
function linkBatches() {
  const waiting = perNode();
  for (const event of events) {
    if (event.what === "persist") {
      waiting[event.node].push(event);
    } else if (event.what === "durable") {
      const last = waiting[event.node].findLastIndex((batch) => batch.lsn === event.lsn);
      event.synced = waiting[event.node].splice(0, last + 1);
      for (const batch of event.synced) batch.syncedBy = event;
    } else if (event.what === "dies") {
      waiting[event.node] = [];
    }
  }
}

/**
 * The spans of each node's life in which its state stays the same:
 * { node, event, end, state, up }, where `event` begins it, and `end` is the event that ends it
 * or null. A node that dies without saying so is down all the same.
 */
function spansOfNodes() {
  const spans = perNode();
  const push = (event, state) => {
    const list = spans[event.node];
    const open = list[list.length - 1];
    // Events at the same moment are one change to the eye.
    if (open && open.event.n === event.n) {
      open.state = state;
      open.event = event;
      return;
    }
    if (open) open.end = event;
    list.push({ node: event.node, event, end: null, state });
  };
  for (const event of events) {
    if (event.node === undefined) continue;
    const list = spans[event.node];
    const known = list.length ? list[list.length - 1].state : { role: "down" };
    if (event.what === "state") push(event, event);
    else if (event.what === "dies") push(event, { ...known, role: "down", leader: undefined });
    else if (event.what === "starts") push(event, { ...known, role: "forming" });
  }
  return spans;
}

/** Spans that look the same as one: { event, end, state }, where only the first state is kept. */
function bandsOf(list) {
  const bands = [];
  for (const span of list) {
    const open = bands[bands.length - 1];
    const isSame = open && ["role", "promised", "acc"].every((field) => open.state[field] === span.state[field]);
    if (isSame) open.end = span.end;
    else bands.push({ event: span.event, end: span.end, state: span.state });
  }
  return bands;
}

/** The last element of a sorted list that `isBefore` holds for, or null. */
function lastWhere(list, isBefore) {
  const index = lastIndex(list, isBefore);
  return index < 0 ? null : list[index];
}

/** A node's state right after the event with this index; null before the first one. */
function stateAt(node, index) {
  const span = lastWhere(spans[node], (s) => s.event.i <= index);
  return span ? span.state : null;
}

/** Faults as bands: { event, at, until, nodes, links }, instantaneous ones included. */
function collectFaults() {
  return events
    .filter((event) => event.what === "fault")
    .map((event) => ({ event, at: event.at, until: Math.min(Math.max(event.until, event.at), endOfTime) }));
}

/** Operations of clients: { client, operation, text, steps, end }. */
function collectOperations() {
  const found = new Map();
  for (const event of events) {
    if (event.what !== "client") continue;
    const key = `${event.client}:${event.operation}`;
    let operation = found.get(key);
    if (!operation) {
      operation = { client: event.client, operation: event.operation, text: event.text, steps: [], end: null };
      found.set(key, operation);
    }
    operation.steps.push(event);
    event.operationOf = operation;
    if (event.step !== "asked") operation.end = event;
  }
  return [...found.values()];
}

/** What each node knows to be decided: steps { event, commit }, and the first to know each slot. */
function collectDecisions() {
  const steps = perNode();
  const firsts = [];
  let known = 0;
  for (const event of events) {
    if (event.node === undefined) continue;
    const commit = event.what === "decided" ? event.last : event.what === "state" ? event.commit : null;
    if (commit === null) continue;
    const list = steps[event.node];
    const before = list.length ? list[list.length - 1].commit : -1;
    // After a restart a node knows less than before: that is a step, too.
    if (event.what === "decided" ? commit > before : commit !== before) list.push({ event, commit });
    if (commit > known) {
      firsts.push({ event, first: known + 1, last: commit });
      known = commit;
    }
  }
  return { steps, firsts, known };
}

/** All ballots in the order of their numbers, the one before any election left out. */
function collectBallots() {
  const seen = new Set();
  for (const event of events) {
    if (event.what === "state") seen.add(event.promised).add(event.acc);
    else if (event.what === "send" && event.ballot) seen.add(event.ballot);
  }
  const collator = new Intl.Collator("en", { numeric: true });
  return [...seen].filter((ballot) => ballot !== undefined && !isNoBallot(ballot)).sort(collator.compare);
}

/** Before its first election an epoch has ballot number 0. */
function isNoBallot(ballot) {
  return !ballot || /^e\d+\.0$/.test(ballot);
}

/** Puts intervals { from, to } into as few rows as it takes; each gets its `row`. */
function packRows(intervals, rowsMax) {
  const ends = [];
  for (const interval of intervals) {
    let row = ends.findIndex((end) => end < interval.from);
    // Where more overlap than there are rows, the last row takes them all, without labels.
    interval.isCrowded = row < 0 && ends.length === rowsMax;
    if (row < 0) row = Math.min(ends.length, rowsMax - 1);
    ends[row] = Math.max(ends[row] ?? -1, interval.to);
    interval.row = row;
  }
  return Math.max(1, ends.length);
}

linkEvents();
linkBatches();
const spans = spansOfNodes();
const bands = spans.map(bandsOf);
const faults = collectFaults();
const operations = collectOperations();
const decisions = collectDecisions();
const ballots = collectBallots();
/** What goes through all lanes. */
const worldMarks = events.filter((event) => event.what === "healing" || event.what === "violation");
const violations = events.filter((event) => event.what === "violation");
for (const fault of faults) Object.assign(fault, { from: fault.at, to: fault.until });
const faultRows = packRows(faults, FAULT_ROWS_MAX);
for (const operation of operations) {
  operation.from = operation.steps[0].i;
  operation.to = operation.end ? operation.end.i : events.length;
}
const operationRows = packRows(operations, OPERATION_ROWS_MAX);

