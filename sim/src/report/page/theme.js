// Colours, patterns and fonts of the canvas, from the custom properties of the style sheet.
// Knows nothing about what they are used for in the diagram.

const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

/** Colours for ballots that follow each other; they differ for the colour-blind, too. */
const BALLOT_COLOURS = 6;

const theme = { colours: {}, patterns: new Map(), by: "ballot" };

const COLOUR_NAMES = [
  "paper", "panel", "ink", "soft", "faint", "line", "accent", "danger", "alarm", "onalarm", "warn", "down", "none",
  "leading", "campaigning", "following", "forming",
  "election", "accept", "learn", "snapshot", "read", "heartbeat", "other",
  ...Array.from({ length: BALLOT_COLOURS }, (_, i) => `b${i}`),
];

/** Reads the colours again, after light and dark were exchanged. */
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of COLOUR_NAMES) theme.colours[name] = style.getPropertyValue(`--${name}`).trim();
  theme.patterns.clear();
}

const ballotIndex = new Map(ballots.map((ballot, index) => [ballot, index]));

function ballotColour(ballot) {
  const index = ballotIndex.get(ballot);
  return index === undefined ? theme.colours.none : theme.colours[`b${index % BALLOT_COLOURS}`];
}

function stateColour(state) {
  if (state.role === "down") return theme.colours.down;
  if (theme.by === "role") return theme.colours[state.role] ?? theme.colours.none;
  return ballotColour(state.promised);
}

function messageColour(message) {
  const { colours } = theme;
  if (message.family === "heartbeat") return colours.heartbeat;
  if (theme.by === "role" || !message.ballot) return colours[message.family] ?? colours.other;
  return ballotColour(message.ballot);
}

/** What each kind of pattern draws into a square of eight pixels. */
const PATTERNS = {
  stripes: (g) => { g.moveTo(-2, 10); g.lineTo(10, -2); g.moveTo(-2, 2); g.lineTo(2, -2); g.moveTo(6, 10); g.lineTo(10, 6); },
  back: (g) => { g.moveTo(-2, -2); g.lineTo(10, 10); g.moveTo(6, -2); g.lineTo(10, 2); g.moveTo(-2, 6); g.lineTo(2, 10); },
  rows: (g) => { g.moveTo(0, 2); g.lineTo(8, 2); g.moveTo(0, 6); g.lineTo(8, 6); },
  columns: (g) => { g.moveTo(2, 0); g.lineTo(2, 8); g.moveTo(6, 0); g.lineTo(6, 8); },
  dots: (g) => { g.rect(1, 1, 2, 2); g.rect(5, 5, 2, 2); },
};

/** A fill of lines in this colour: what a colour alone must not say, a pattern says. */
function patternOf(kind, colour, width = 1.5) {
  const key = `${kind} ${colour} ${width}`;
  let pattern = theme.patterns.get(key);
  if (!pattern) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const g = tile.getContext("2d");
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.beginPath();
    PATTERNS[kind](g);
    g.stroke();
    pattern = ctx.createPattern(tile, "repeat");
    theme.patterns.set(key, pattern);
  }
  return pattern;
}

