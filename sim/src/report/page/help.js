// What never changes while the page is open: the head's facts, the verdict, keys and legend.
// Knows nothing about the diagram's state.

const KEYS = [
  ["↓ ↑  or  j k  or  → ←", "next and previous event"],
  ["Space, Shift Space", "a screen down and up"],
  ["Home, End", "first and last event"],
  ["n, p", "next and previous fault, end of a node, or violation"],
  ["Enter", "follow the message to its other end"],
  ["b", "back to what the event follows from"],
  ["w", "fade what the selected event cannot depend on"],
  ["+ - or Ctrl and wheel", "zoom"],
  ["f", "fit the whole run"],
  ["t", "time without idle time, or to scale"],
  ["c", "colour ballots, or roles and kinds"],
  ["h", "heartbeats"],
  ["/", "search"],
  ["Esc", "select nothing"],
  ["?", "this help"],
];

const LEGEND = [
  ["leading", "leading: full bar"],
  ["campaigning", "campaigning: striped bar"],
  ["following", "following: thin bar"],
  ["forming", "forming or starting: dots"],
  ["down", "down: nothing but the dotted guide"],
];

const SHORT_SIGNS = [["✕", "lost"], ["⊘", "missed"], ["⇢", "copy"], ["□■", "disk"], ["◆", "decided"]];

const SIGNS = [
  ["→", "a message that arrives; bold ones elect a leader"],
  ["⇢", "a copy of it, or one that is under way when the run ends"],
  ["—✕", "a message that is lost on its way"],
  ["—⊘", "a message that comes to a node that is down, or whose link was cut meanwhile"],
  ["□ ■", "records handed to the disk, and durable"],
  ["◆", "slots known to be decided; in the column of slots: by anybody for the first time"],
  ["✖ ▼", "a node dies, and starts"],
  ["○ ✓ ? ✕", "an operation reaches a node, is done, has an outcome that the client does not know, failed"],
  ["◷", "below a node's name: how far ahead its clock was at first, and whether it runs fast or slow"],
  ["│ ┊", "beside a lifeline: the log's ballot, while it is another than the promised one"],
];

/** The slots that a sentence speaks of first, or null. */
function slotsNamed(text) {
  const match = /slots? (\d+)(?:(?:\.\.|-| to )=?(\d+))?/.exec(text);
  return match ? parseSlots(match[2] ? `${match[1]}-${match[2]}` : match[1]) : null;
}

function showFacts() {
  document.title = `chil run ${data.seed}${data.violation ? ": violated" : ""}`;
  byId("title").textContent = `Seed ${data.seed}`;
  const facts = [
    counted(nodeCount, "node"), counted(events.length, "event"), counted(messages.length, "message"),
    `${counted(decisions.known, "slot")} decided`, counted(faults.length, "fault"),
    `${spanText(endOfTime)} simulated`, `trace hash ${data.hash}`,
  ];
  byId("summary").textContent = facts.join(" · ");
  const verdict = byId("verdict");
  verdict.className = data.violation ? "bad" : "good";
  byId("verdict-text").textContent = data.violation ? `✖ ${data.violation}` : "✓ Nothing was violated.";
  byId("verdict-go").hidden = !violations.length;
  const slots = slotsNamed(data.violation ?? "");
  if (slots) {
    const act = () => { onlySlots(slots); select(violations[0] ?? null, true); };
    verdict.append(element("button", { type: "button", onclick: act }, `Only slot ${slotRange(slots)}`));
  }
  if (data.explained.length) {
    verdict.append(element("details", {}, element("summary", {}, "What the nodes say stands in their way"),
      element("ul", {}, ...data.explained.map((line) => element("li", {}, line)))));
  }
  byId("plan").querySelector("pre").textContent = data.plan;
}

/** A role's shape; its colour is the role's own, or any ballot's. */
function roleSign(role) {
  const badge = element("span", { class: `role ${role}` });
  const colour = role === "down" ? "down" : theme.by === "role" ? role : "b0";
  badge.style.setProperty("--colour", `var(--${colour})`);
  return badge;
}

/** Kinds of messages with their colours, or what the colours say else. */
function colourLegend() {
  if (theme.by === "ballot") return [element("span", { class: "soft" }, "colour: the ballot")];
  const there = new Set(messages.map((message) => message.family));
  return [...Object.keys(FAMILIES), "heartbeat", "other"].filter((family) => there.has(family)).map((family) => {
    const sign = element("b", {}, "→ ");
    sign.style.color = `var(--${family})`;
    return element("span", {}, sign, family);
  });
}

/** The strip below the diagram. */
function showLegend() {
  byId("legend").replaceChildren(
    ...LEGEND.map(([role]) => element("span", {}, roleSign(role), role)),
    element("i", {}),
    ...SHORT_SIGNS.map(([sign, text]) => element("span", {}, element("b", {}, sign), ` ${text}`)),
    element("i", {}),
    ...colourLegend());
}

function buildHelp() {
  const close = () => byId("help").close();
  const pairs = (rows) => element("dl", {}, ...rows.flatMap(([a, b]) => [element("dt", {}, a), element("dd", {}, b)]));
  const roles = LEGEND.map(([role, text]) => {
    return element("li", {}, roleSign(role), text);
  });
  byId("help").replaceChildren(
    element("button", { type: "button", onclick: close }, "Close"),
    element("h2", {}, "How to read it"),
    element("p", {}, "Time runs downwards, a lifeline a node. The shape of a lifeline is the node's role; its colour is the ballot that it promised, and messages have the colour of their ballot: a message of another colour than the line that it meets is of another ballot."),
    element("ul", { class: "legend" }, ...roles),
    pairs(SIGNS),
    element("h2", {}, "Keys"),
    pairs(KEYS));
}

