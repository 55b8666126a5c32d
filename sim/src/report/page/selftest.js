// A test of the page by itself: opened with #selftest it works its own keys and filters and
// writes what it found into the page. Knows nothing about who reads that.

const pageErrors = [];
addEventListener("error", (e) => pageErrors.push(String(e.message)));
addEventListener("unhandledrejection", (e) => pageErrors.push(String(e.reason)));

function press(key) {
  byId("stage").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  draw();
}

/** What a statement gives, or the error that it threw. */
function attempt(act) {
  try {
    return act();
  } catch (e) {
    pageErrors.push(String(e.stack ?? e));
    return null;
  }
}

/** How many arrows of each fate are drawn when all of the run is in sight. */
function drawnArrows() {
  fitAll();
  draw();
  const counts = { received: 0, missed: 0, lost: 0, flying: 0, copies: 0 };
  for (const arrow of view.visible) {
    counts[arrow.fate] += 1;
    if (arrow.copy) counts.copies += 1;
  }
  return counts;
}

/** Milliseconds of the median frame of some steps through the run. */
function frameTime(zoom, steps) {
  view.zoom = zoom;
  view.top = 0;
  const times = [];
  for (let i = 0; i < steps; i += 1) {
    const began = performance.now();
    view.top += (scale.length / steps) * 0.9;
    clampView();
    draw();
    // Asking for a pixel makes the browser finish what it only queued.
    ctx.getImageData(0, 0, 1, 1);
    times.push(performance.now() - began);
  }
  return medianAndWorst(times);
}

function medianAndWorst(times) {
  times.sort((a, b) => a - b);
  return { median: rounded(times[times.length >> 1]), worst: rounded(times[times.length - 1]) };
}

/** Milliseconds until a search has changed the whole page. */
function timeOfFiltering() {
  const began = performance.now();
  filters.text = "accept";
  layOutAll();
  draw();
  resetFilters();
  layOutAll();
  draw();
  return rounded((performance.now() - began) / 2);
}

function rounded(number) {
  return Math.round(number * 100) / 100;
}

/** Steps with the keys from the first event to the last; counts the different ones, and takes the
 * milliseconds of each. */
function walk(limit) {
  press("Home");
  const seen = new Set([view.selected]);
  const times = [];
  for (let i = 1; i < Math.min(limit, shown.length); i += 1) {
    const began = performance.now();
    press("j");
    times.push(performance.now() - began);
    seen.add(view.selected);
  }
  return { count: seen.size, times: times.length ? medianAndWorst(times) : null };
}

/** What the key for trouble visits, from the first event on. */
function troubles() {
  press("Home");
  const visited = [];
  for (let last = null; ; last = view.selected) {
    press("n");
    if (view.selected === last || visited.length > 50) return visited;
    visited.push(view.selected.what);
  }
}

/** Why the first leader leads: the chain of causes, and the last event of each node in its past. */
function firstLeader() {
  const leading = events.find((event) => event.what === "state" && event.role === "leading");
  if (!leading) return null;
  return {
    chain: chainTo(leading, 20).map((event) => event.what),
    past: pastOf(leading).map((last) => (last < 0 ? null : events[last].what)),
  };
}

/** Each sync by the batch that it was up to, and how many it covered. */
function syncs() {
  return events.filter((e) => e.what === "durable").map((e) => [e.lsn, causeOf(e)?.text ?? null, e.synced.length]);
}

function filtersWork() {
  const all = shown.length;
  onlySlots([1, 1]);
  const slots = shown.length;
  resetFilters();
  onlyBallot(ballots[ballots.length - 1] ?? "");
  const ballot = shown.length;
  resetFilters();
  filters.nodes.add(0);
  layOutAll();
  draw();
  const lanes = layout.lanes.length;
  resetFilters();
  filters.text = "no such text anywhere";
  layOutAll();
  const nothing = shown.filter((event) => !LANDMARKS.has(event.what)).length;
  resetFilters();
  layOutAll();
  return { all, slots, ballot, lanes, nothing, again: shown.length };
}

/** What the pointer finds where a node goes down: what is shown beside it, and whether that goes
 * with the pointer. */
function pointing() {
  const event = shown.find((other) => other.what === "state" && other.role === "down");
  if (!event) return null;
  select(null, false);
  view.zoom = 18;
  revealInDiagram(event);
  draw();
  const box = canvas.getBoundingClientRect();
  const at = { clientX: box.left + layout.xOf.get(event.node), clientY: box.top + yOf(event.pos) };
  canvas.dispatchEvent(new PointerEvent("pointermove", at));
  draw();
  const found = view.hover?.what ?? null;
  const tip = byId("tip").hidden ? null : byId("tip").textContent;
  const speaksOfIt = topEvent() === view.hover?.i;
  canvas.dispatchEvent(new PointerEvent("pointerleave"));
  return { found, tip, speaksOfIt, gone: view.hover === null && byId("tip").hidden };
}

function selfTest(firstPaint) {
  const result = { firstPaint: rounded(firstPaint), events: events.length };
  attempt(() => {
    result.selected = view.selected?.what ?? null;
    result.lifelines = layout.lanes.length;
    toggleHeartbeats();
    result.arrows = drawnArrows();
    toggleHeartbeats();
    const walked = walk(200);
    result.walked = walked.count;
    result.steps = walked.times;
    result.walkable = Math.min(200, shown.length);
    for (const key of ["n", "p", "w", "w", "t", "t", "c", "c", "+", "-", "f", "Enter", "b", "End", "PageUp", " ", "?"]) press(key);
    result.help = byId("help").open;
    byId("help").close();
    press("End");
    result.troubles = troubles();
    result.leader = firstLeader();
    result.syncs = syncs();
    result.filters = filtersWork();
    result.pointing = pointing();
    result.clocks = layout.lanes.map((lane) => clockText(lane.node));
    result.filtering = timeOfFiltering();
    result.frames = { near: frameTime(18, 60), far: frameTime(2, 30), all: frameTime(view.height / scale.length, 10) };
    result.title = document.title;
    result.markup = document.querySelectorAll("img, iframe, script").length;
  });
  result.errors = pageErrors;
  document.body.append(element("pre", { id: "selftest" }, JSON.stringify(result)));
}

