// The controls in the page's head: filters, scale, colours, zoom, and the place in the address.
// Knows nothing about the diagram.

/** Fills the lists that depend on the recording, once. */
function buildControls() {
  const boxes = data.nodes.map((name, node) => checkbox(name, !filters.nodes.has(node), (isOn) => {
    if (isOn) filters.nodes.delete(node);
    else filters.nodes.add(node);
  }));
  byId("node-filter").append(...boxes);
  const there = new Set(events.map(kindOf));
  const kinds = [...messageNames, ...EVENT_KINDS.filter((kind) => there.has(kind))];
  const counts = new Map();
  for (const event of events) counts.set(kindOf(event), (counts.get(kindOf(event)) ?? 0) + 1);
  byId("kind-filter").append(...kinds.map((kind) => checkbox(`${kind} (${counts.get(kind)})`, !filters.kinds.has(kind), (isOn) => {
    if (isOn) filters.kinds.delete(kind);
    else filters.kinds.add(kind);
  }, kind)));
  byId("ballot-filter").append(new Option("any", ""), ...ballots.map((ballot) => new Option(ballot, ballot)));
  if (nodeCount < 2) byId("node-filter").hidden = true;
}

function checkbox(text, isOn, act, kind) {
  const input = element("input", { type: "checkbox", "data-kind": kind });
  input.checked = isOn;
  input.addEventListener("change", () => {
    act(input.checked);
    layOutAll();
  });
  return element("label", {}, input, text);
}

/** Makes the controls say what the filters are. */
function showFilters() {
  byId("node-filter").querySelectorAll("input").forEach((input, node) => { input.checked = !filters.nodes.has(node); });
  const boxes = byId("kind-filter").querySelectorAll("input");
  for (const input of boxes) input.checked = !filters.kinds.has(input.dataset.kind);
  const hidden = [...boxes].filter((input) => !input.checked).length;
  byId("kind-count").textContent = hidden ? `(${hidden} hidden)` : "";
  byId("ballot-filter").value = filters.ballot;
  if (document.activeElement !== byId("slot-filter")) byId("slot-filter").value = filters.slots ? slotRange(filters.slots) : "";
  if (document.activeElement !== byId("text-filter")) byId("text-filter").value = filters.text;
  byId("filter-reset").disabled = !isFiltered();
}

function toggleHeartbeats() {
  const names = [...new Set(messages.filter((m) => m.family === "heartbeat").map((m) => m.name))];
  const isHidden = names.some((name) => filters.kinds.has(name));
  for (const name of names) {
    if (isHidden) filters.kinds.delete(name);
    else filters.kinds.add(name);
  }
  layOutAll();
}

function onlyBallot(ballot) {
  filters.ballot = ballot;
  layOutAll();
}

function onlySlots(slots) {
  filters.slots = slots;
  layOutAll();
}

function listenToControls() {
  const on = (id, type, act) => byId(id).addEventListener(type, act);
  on("filters", "submit", (e) => e.preventDefault());
  on("slot-filter", "input", (e) => {
    const slots = parseSlots(e.target.value);
    e.target.setCustomValidity(slots === undefined ? "a slot or two: 7 or 7-12" : "");
    if (slots === undefined) return;
    filters.slots = slots;
    layOutAll();
  });
  on("ballot-filter", "change", (e) => onlyBallot(e.target.value));
  on("text-filter", "input", (e) => { filters.text = e.target.value.trim().toLowerCase(); layOutAll(); });
  on("filter-reset", "click", () => { resetFilters(); layOutAll(); });
  const kinds = (hidden) => () => { filters.kinds = new Set(hidden()); layOutAll(); };
  on("kinds-all", "click", kinds(() => []));
  on("kinds-none", "click", kinds(() => [...byId("kind-filter").querySelectorAll("input")].map((input) => input.dataset.kind)));
  on("kinds-usual", "click", kinds(hiddenAtFirst));
  document.addEventListener("pointerdown", (e) => { if (!byId("kind-menu").contains(e.target)) byId("kind-menu").open = false; });
  on("past", "change", () => select(view.selected, false));
  on("scale", "change", (e) => { scale.mode = e.target.value; layOutAll(); });
  on("colours", "change", (e) => { theme.by = e.target.value; themeChanged(); });
  on("zoom-in", "click", () => zoomAtFocus(1.3));
  on("zoom-out", "click", () => zoomAtFocus(1 / 1.3));
  on("zoom-fit", "click", fitAll);
  on("theme", "click", exchangeTheme);
  on("help-open", "click", () => byId("help").showModal());
  on("plan-open", "click", () => byId("plan").showModal());
  on("verdict-go", "click", () => select(violations[0], true));
  on("list", "scroll", () => showList());
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function exchangeTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  themeChanged();
}

function themeChanged() {
  readTheme();
  forgetMinimap();
  showStates();
  showLegend();
  redraw();
}

/** Puts the place into the address, so that it can be passed on: `#event=17&zoom=20`. */
function rememberPlace() {
  const place = new URLSearchParams();
  if (view.selected) place.set("event", view.selected.i);
  // Some browsers refuse this for local files; then the address just stays as it is.
  try {
    history.replaceState(null, "", `#${place}`);
  } catch {
    return;
  }
}

/** Takes settings from the address. Returns the event that it names, if any. */
function settingsFromAddress() {
  const place = new URLSearchParams(location.hash.slice(1));
  if (place.has("theme")) document.documentElement.dataset.theme = place.get("theme") === "dark" ? "dark" : "light";
  if (place.has("zoom")) view.zoom = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, Number(place.get("zoom")) || 18));
  if (place.has("slots")) filters.slots = parseSlots(place.get("slots")) ?? null;
  if (place.has("text")) filters.text = place.get("text").toLowerCase();
  if (place.has("ballot")) filters.ballot = ballots.includes(place.get("ballot")) ? place.get("ballot") : "";
  if (place.get("heartbeats") === "1") filters.kinds = new Set();
  if (place.get("past") === "1") byId("past").checked = true;
  for (const [key, id] of [["scale", "scale"], ["colours", "colours"]]) {
    const options = [...byId(id).options].map((option) => option.value);
    if (options.includes(place.get(key))) byId(id).value = place.get(key);
  }
  scale.mode = byId("scale").value;
  theme.by = byId("colours").value;
  return { event: events[Number(place.get("event") ?? NaN)] ?? null, fit: place.has("fit"), test: place.has("selftest") };
}

