// The whole run in a narrow strip: roles, faults, violations, and what part of it is in sight.
// Knows nothing about single events.

const MINIMAP_WIDTH = 56;
const minimap = document.getElementById("minimap");
const overview = minimap.getContext("2d");

/** Everything but the frame, drawn once for each filter, theme and size. */
let minimapImage = null;

function forgetMinimap() {
  minimapImage = null;
}

function drawMinimap() {
  const ratio = window.devicePixelRatio || 1;
  if (!minimapImage) {
    minimap.width = Math.round(MINIMAP_WIDTH * ratio);
    minimap.height = Math.round(view.height * ratio);
    minimap.style.height = `${view.height}px`;
    minimapImage = document.createElement("canvas");
    minimapImage.width = minimap.width;
    minimapImage.height = minimap.height;
    const g = minimapImage.getContext("2d");
    g.scale(ratio, ratio);
    drawOverview(g);
  }
  overview.setTransform(1, 0, 0, 1, 0, 0);
  overview.drawImage(minimapImage, 0, 0);
  overview.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawFrame();
}

function minimapY(pos) {
  return (pos / scale.length) * view.height;
}

function drawOverview(g) {
  const { colours } = theme;
  g.fillStyle = colours.panel;
  g.fillRect(0, 0, MINIMAP_WIDTH, view.height);
  g.globalAlpha = 0.5;
  g.fillStyle = colours.warn;
  for (const fault of faults) {
    const y0 = minimapY(positionOfTime(fault.at));
    g.fillRect(3, y0, 6, Math.max(1.5, minimapY(positionOfTime(fault.until)) - y0));
  }
  g.globalAlpha = 1;
  const width = (MINIMAP_WIDTH - 16) / Math.max(1, layout.lanes.length);
  layout.lanes.forEach((lane, column) => {
    for (const band of bands[lane.node]) {
      if (band.state.role === "down") continue;
      const y0 = minimapY(band.event.pos);
      const y1 = minimapY(band.end ? band.end.pos : scale.length);
      const share = band.state.role === "leading" ? 0.9 : band.state.role === "campaigning" ? 0.6 : 0.3;
      g.fillStyle = stateColour(band.state);
      g.fillRect(13 + (column + (1 - share) / 2) * width, y0, width * share, Math.max(0.7, y1 - y0));
    }
  });
  g.fillStyle = colours.danger;
  for (const event of events) {
    if (event.what === "dies") {
      const column = layout.lanes.findIndex((lane) => lane.node === event.node);
      if (column >= 0) g.fillRect(13 + column * width, minimapY(event.pos) - 1, width, 2);
    } else if (event.what === "violation") {
      g.fillRect(0, minimapY(event.pos) - 2, MINIMAP_WIDTH, 3);
    }
  }
}

/** The part that the diagram shows, and where the selection is. */
function drawFrame() {
  const y0 = minimapY(view.top);
  const y1 = minimapY(view.top + (view.height - HEAD) / view.zoom);
  overview.strokeStyle = theme.colours.accent;
  overview.lineWidth = 1.5;
  overview.strokeRect(1, y0, MINIMAP_WIDTH - 2, Math.max(4, y1 - y0));
  if (!view.selected) return;
  overview.fillStyle = theme.colours.accent;
  overview.fillRect(0, minimapY(view.selected.pos) - 1, MINIMAP_WIDTH, 2);
}

