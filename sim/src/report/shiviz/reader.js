// Reads logs as ShiViz does (DistributedClocks/shiviz: js/shiviz.js, js/model/parser.js,
// js/model/modelGraph.js, said anew): finds events by the expression in its first line, then
// checks clocks. Knows nothing about how the logs were made.

/** The log behind the two lines that say how it is read. */
function bodyOf(text) {
  return text.slice(text.indexOf("\n", text.indexOf("\n") + 1) + 1).trim();
}

/** All events: where the expression matches, one match behind the other. */
function eventsOf(body, expression) {
  const found = [];
  for (const match of body.matchAll(new RegExp(expression, "gm"))) {
    const { event, host, clock } = match.groups;
    found.push({ event, host, clock: JSON.parse(clock) });
  }
  return found;
}

/** What ShiViz refuses a log for. */
function complaintsAbout(found) {
  const complaints = [];
  const counts = new Map();
  for (const { host, clock } of found) {
    if (!Object.hasOwn(clock, host)) complaints.push(`local host "${host}" is missing from its timestamp`);
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  // In whatever order the lines are, the clock of a host begins at 1 and grows by 1.
  for (const [host, count] of counts) {
    const own = found.filter((e) => e.host === host).map((e) => e.clock[host]).sort((a, b) => a - b);
    if (own.some((time, i) => time !== i + 1)) complaints.push(`the clock of "${host}" is not 1 to ${count}`);
  }
  for (const { clock, event } of found) {
    for (const [host, time] of Object.entries(clock)) {
      if (!counts.has(host)) complaints.push(`unrecognised host "${host}" in: ${event}`);
      else if (time < 1 || time > counts.get(host)) complaints.push(`invalid time ${time} of "${host}" in: ${event}`);
    }
  }
  return complaints;
}

function read(text) {
  const [expression, delimiter] = text.split("\n", 2);
  const body = bodyOf(text);
  // A file is read with the expression anchored, pasted text without.
  const found = eventsOf(body, `^${expression}$`);
  const pasted = eventsOf(body, expression);
  return {
    delimiter,
    events: found.length,
    first: found[0],
    last: found[found.length - 1],
    isSamePasted: JSON.stringify(pasted) === JSON.stringify(found),
    complaints: complaintsAbout(found),
  };
}

const pre = document.createElement("pre");
pre.id = "selftest";
pre.textContent = JSON.stringify(JSON.parse(document.getElementById("logs").textContent).map(read));
document.body.append(pre);
