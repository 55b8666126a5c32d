// The panels beside the diagram: details of an event, states of the nodes, the timeline as a list.
// Knows nothing about the canvas. Text of the recording only ever becomes text, never markup.

const ROW_HEIGHT = 20;

/** An element with text or children: strings are text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/** Details of what is pointed at, else of what is selected. */
function showDetails() {
  const event = view.hover ?? view.selected;
  const box = byId("details");
  if (!event) {
    box.replaceChildren(element("p", { class: "hint" }, "Point at something, click it to keep it, or step with ↓ and ↑."));
    return;
  }
  const isPinned = event === view.selected;
  const parts = [
    element("h2", {}, `#${event.n} `, element("span", { class: "soft" }, `${timeText(event.at, 9)} s · ${nodeName(event.node)}`),
      element("span", { class: "badge" }, isPinned ? "selected" : "pointed at")),
    element("p", { class: `what ${event.what}` }, sentence(event)),
    event.message ? messageTable(event.message) : null,
    factsOf(event),
    isPinned ? causesList(event) : null,
    isPinned ? effectsList(event) : null,
  ];
  box.replaceChildren(...parts.filter(Boolean));
}

function table(rows) {
  const filled = rows.filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return element("dl", {}, ...filled.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function messageTable(message) {
  const { send } = message;
  const arrivals = message.arrows.map((arrow) => {
    if (arrow.fate === "lost") return "lost: it never arrived";
    if (arrow.fate === "flying") return `would arrive at ${timeText(arrow.at, 9)} s, after the end`;
    const after = send ? ` after ${spanText(arrow.end.at - send.at)}` : "";
    return `${arrow.copy ? "copy " : ""}${arrow.fate} #${arrow.end.n}${after}`;
  });
  return table([
    ["message", `${message.name}, number ${message.id}, ${message.lane} lane`],
    ["way", `${nodeName(message.from)} → ${nodeName(message.to)}`],
    ["sent", send ? `#${send.n} at ${timeText(send.at, 9)} s` : "not recorded"],
    ["fate", arrivals.join("; ")],
    ["ballot", message.ballot ? onlyButton(message.ballot, () => onlyBallot(message.ballot)) : ""],
    ["slots", message.slots ? onlyButton(slotRange(message.slots), () => onlySlots(message.slots)) : ""],
  ]);
}

/** A value with a button that filters by it. */
function onlyButton(text, act) {
  return element("span", {}, `${text} `, element("button", { type: "button", class: "small", onclick: act }, "only this"));
}

/** What else is known of events that are no messages. */
function factsOf(event) {
  if (event.what === "fault") {
    return table([
      ["kind", event.name],
      ["until", `${timeText(event.until, 9)} s`],
      ["nodes", event.nodes.map(nodeName).join(", ")],
      ["links", event.links.map(([a, b]) => `${nodeName(a)} → ${nodeName(b)}`).join(", ")],
    ]);
  }
  if (event.what === "durable" && event.synced.length > 1) {
    return table([["batches", element("span", {}, ...event.synced.map(eventLink))]]);
  }
  if (event.what === "persist") {
    const { syncedBy } = event;
    return table([["durable", syncedBy ? `#${syncedBy.n} after ${spanText(syncedBy.at - event.at)}` : "never in this life, or not before the end"]]);
  }
  if (event.what === "client") {
    const steps = event.operationOf.steps.map((step) => eventLink(step));
    return table([
      ["client", `c${event.client}, operation ${event.operation}`],
      ["slot", event.slot === undefined ? "" : onlyButton(String(event.slot), () => onlySlots([event.slot, event.slot]))],
      ["steps", element("span", {}, ...steps)],
    ]);
  }
  if (event.what === "decided") {
    return table([["slots", onlyButton(slotRange([event.first, event.last]), () => onlySlots([event.first, event.last]))]]);
  }
  return null;
}

function eventLink(event) {
  const act = () => select(event, true);
  return element("button", { type: "button", class: "link", onclick: act },
    element("span", { class: "soft" }, `${timeText(event.at)} ${nodeName(event.node)} `), sentence(event));
}

function causesList(event) {
  const chain = chainTo(event, 13).slice(1);
  if (!chain.length) return null;
  return element("div", { class: "chain" }, element("h3", {}, "because"), ...chain.map(eventLink));
}

function effectsList(event) {
  const effects = effectsOf(event).slice(0, 8);
  if (!effects.length) return null;
  return element("div", { class: "chain" }, element("h3", {}, "so"), ...effects.map(eventLink));
}

/** The state of every node right after the selected event; what that event changed is marked. */
function showStates() {
  const event = view.hover ?? view.selected;
  const index = topEvent();
  const head = ["node", "role", "promised", "log of", "leader", "last", "durable", "commit", "applied"];
  const rows = data.nodes.map((name, node) => stateRow(name, node, index, event));
  byId("states").replaceChildren(
    element("table", {},
      element("caption", {}, event ? `Nodes after event #${event.n}` : "Nodes at the top of the diagram"),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {}, text)))),
      element("tbody", {}, ...rows)));
}

function stateRow(name, node, index, event) {
  const state = stateAt(node, index) ?? { role: "down" };
  const isHere = event?.node === node;
  const changed = isHere && event.what === "state" ? changesOf(event) : [];
  const cells = STATE_FIELDS.map((field) => {
    const value = field === "leader" ? (state.leader === undefined ? "–" : nodeName(state.leader)) : (state[field] ?? "–");
    const cell = element("td", { class: changed.includes(field) ? "changed" : "" }, String(value));
    if (field === "role") cell.prepend(roleBadge(state));
    return cell;
  });
  return element("tr", { class: isHere ? "here" : "" }, element("th", { scope: "row" }, name), ...cells);
}

/** The lifeline's shape and colour, beside the role's name. */
function roleBadge(state) {
  const badge = element("span", { class: `role ${state.role}` });
  badge.style.setProperty("--colour", stateColour(state));
  return badge;
}

/** The rows of the list that can be seen. The others do not exist: that keeps long runs fast. */
function showList() {
  const list = byId("list");
  const rows = byId("rows");
  rows.style.height = `${(shown.length + 1) * ROW_HEIGHT}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - 4);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW_HEIGHT) + 8);
  const made = [];
  for (let i = first; i < last; i += 1) made.push(listRow(shown[i], i));
  rows.replaceChildren(...made);
  if (view.selected) list.setAttribute("aria-activedescendant", `row-${view.selected.i}`);
  else list.removeAttribute("aria-activedescendant");
  byId("list-count").textContent = shown.length === events.length ? counted(shown.length, "event")
    : `${shown.length.toLocaleString("en")} of ${counted(events.length, "event")}`;
}

function listRow(event, index) {
  const names = [event.what];
  if (event === view.selected) names.push("selected");
  else if (view.related.has(event)) names.push("related");
  if (view.past && !isInPast(view.past, event)) names.push("dim");
  const row = element("div", {
    class: `row ${names.join(" ")}`,
    id: `row-${event.i}`,
    role: "option",
    "aria-selected": String(event === view.selected),
    title: sentence(event).slice(0, 2000),
    onclick: () => select(event, true),
  },
    element("span", { class: "at" }, timeText(event.at)),
    element("span", { class: "who" }, nodeName(event.node)),
    element("span", {}, sentence(event).slice(0, 300)));
  row.style.top = `${index * ROW_HEIGHT}px`;
  return row;
}

/** Scrolls the list so that the selected event is in sight. */
function revealInList() {
  const index = view.selected ? lastIndex(shown, (event) => event.i <= view.selected.i) : -1;
  const list = byId("list");
  if (index < 0) return;
  const y = index * ROW_HEIGHT;
  if (y < list.scrollTop + ROW_HEIGHT || y > list.scrollTop + list.clientHeight - 2 * ROW_HEIGHT) {
    list.scrollTop = y - list.clientHeight / 2;
  }
}

/** What is under the pointer, in few words beside it. */
function showTip(event, x, y) {
  const tip = byId("tip");
  tip.hidden = !event;
  if (!event) return;
  tip.replaceChildren(
    element("strong", {}, `${nodeName(event.node)} · ${timeText(event.at, 9)} s`),
    element("span", {}, sentence(event).slice(0, 300)));
  const box = byId("stage").getBoundingClientRect();
  const right = x > box.width / 2;
  tip.style.left = right ? "" : `${x + 16}px`;
  tip.style.right = right ? `${box.width - x + 16}px` : "";
  tip.style.top = `${Math.min(y + 14, box.height - tip.offsetHeight - 8)}px`;
}

