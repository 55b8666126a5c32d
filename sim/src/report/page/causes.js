// Why an event happened: the chain that led to it, and everything that it can depend on.
// Knows nothing about the screen.

/** The first thing that the same event of the simulation brought about on the same node. */
function triggerOf(event) {
  let first = event;
  while (first.before && first.before.n === first.n) first = first.before;
  return first;
}

/** The one event that this one follows from directly, or null where a cause comes from outside. */
function causeOf(event) {
  if (event.node === undefined) return null;
  if (event.what === "receive" || event.what === "miss") return event.message.send;
  if (event.what === "durable") return event.synced[event.synced.length - 1] ?? null;
  const trigger = triggerOf(event);
  return trigger === event ? null : trigger;
}

/** The event, what it follows from, what that follows from, and so on. */
function chainTo(event, lengthMax) {
  const chain = [];
  for (let at = event; at && chain.length < lengthMax; at = causeOf(at)) chain.push(at);
  return chain;
}

/** What follows directly: arrivals of a message, the sync of a batch, or what else the same event
 * brings about. */
function effectsOf(event) {
  const effects = event.message && event.what === "send" ? [...event.message.arrivals] : [];
  if (event.syncedBy) effects.push(event.syncedBy);
  for (let i = event.i + 1; i < events.length && events[i].n === event.n; i += 1) {
    if (events[i].node === event.node && event.what !== "send") effects.push(events[i]);
  }
  return effects;
}

/** Everything that stays visible around a selected event: its message, its chain, its effects. */
function related(event) {
  const found = new Set(chainTo(event, 64));
  for (const effect of effectsOf(event)) found.add(effect);
  if (event.message) {
    if (event.message.send) found.add(event.message.send);
    for (const arrival of event.message.arrivals) found.add(arrival);
  }
  if (event.operationOf) for (const step of event.operationOf.steps) found.add(step);
  return found;
}

/**
 * For each node the index of the last event that `event` can depend on, or -1: what happened on
 * its own lifeline before, and before each message that arrived there, on the sender's.
 */
function pastOf(event) {
  const reach = data.nodes.map(() => -1);
  if (event.node === undefined) return null;
  const work = [event];
  while (work.length) {
    const from = work.pop();
    const until = reach[from.node];
    reach[from.node] = Math.max(until, from.i);
    for (let at = from; at && at.i > until; at = at.before) {
      const send = at.what === "receive" ? at.message.send : null;
      if (send && send.i > reach[send.node]) work.push(send);
    }
  }
  return reach;
}

/** Whether an event lies in a past as `pastOf` gives it. What happens to the world always does. */
function isInPast(past, event) {
  return !past || event.node === undefined || event.i <= past[event.node];
}

