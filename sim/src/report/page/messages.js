// Messages: each sending with everything that became of it, as arrows.
// Knows nothing about the screen.

/** Kinds by what they are for; a kind that is not listed is "other". */
const FAMILIES = {
  election: ["Prepare", "Promise", "Nack", "TransferNow"],
  accept: ["Accept", "Accepted"],
  learn: ["Learn", "Fetch"],
  snapshot: ["Offer", "FetchChunk", "Chunk"],
  read: ["ReadIndex", "ReadIndexReply"],
};

const familyOf = new Map(
  Object.entries(FAMILIES).flatMap(([family, names]) => names.map((name) => [name, family])),
);

/**
 * All messages by their number: { send, from, to, name, lane, family, ballot, slots, text, arrows }.
 * Receivings and missings without a sending belong to a message of unknown kind.
 */
function collectMessages() {
  const found = new Map();
  for (const event of events) {
    if (event.what === "send") {
      found.set(event.id, messageOf(event, event.node, event.to));
    } else if (event.what === "receive" || event.what === "miss") {
      if (!found.has(event.id)) found.set(event.id, messageOf({ id: event.id }, event.from, event.node));
      found.get(event.id).arrivals.push(event);
    } else {
      continue;
    }
    event.message = found.get(event.id);
  }
  return [...found.values()];
}

function messageOf(send, from, to) {
  return {
    id: send.id,
    send: send.what ? send : null,
    from,
    to,
    name: send.name ?? "unknown",
    lane: send.lane ?? "quorum",
    family: send.lane === "heartbeat" ? "heartbeat" : (familyOf.get(send.name) ?? "other"),
    ballot: send.ballot,
    slots: send.slots,
    text: send.text ?? "",
    arrives: send.arrives ?? [],
    arrivals: [],
    arrows: [],
  };
}

/**
 * One arrow for each copy of a message. Its fate is "received", "missed" (it came to a node that
 * was down, or over a link that was cut meanwhile), "lost" (at once), or "flying" (when the
 * recording ends).
 */
function arrowsOf(message) {
  const arrows = message.arrivals.map((end) => ({
    message,
    end,
    fate: end.what === "miss" ? "missed" : "received",
  }));
  // Copies that were to arrive after the recording ends. Those of earlier times that nothing is
  // known about were dropped on the way: shown as lost, when nothing else is.
  const late = message.arrives.filter((at) => at > endOfTime);
  for (const at of late) arrows.push({ message, end: null, at, fate: "flying" });
  if (!arrows.length) arrows.push({ message, end: null, fate: "lost" });
  arrows.forEach((arrow, copy) => {
    arrow.copy = copy > 0;
    arrow.start = message.send;
  });
  return arrows;
}

/** "12" or "12..14", or nothing. */
function slotRange(slots) {
  if (!slots) return "";
  return slots[0] === slots[1] ? String(slots[0]) : `${slots[0]}..${slots[1]}`;
}

const messages = collectMessages();
for (const message of messages) message.arrows = arrowsOf(message);
const arrows = messages.flatMap((message) => message.arrows);
const messageNames = [...new Set(messages.map((message) => message.name))].sort();

