// Puts the page together, and shows the part of the run that the reader wants to see first.

function start() {
  resetFilters();
  const wanted = settingsFromAddress();
  readTheme();
  showFacts();
  buildHelp();
  buildControls();
  layOutStrips();
  listenToPointer();
  listenToKeys();
  listenToControls();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  new ResizeObserver(sizeChanged).observe(byId("stage"));
  new ResizeObserver(() => { revealInList(); showList(); }).observe(byId("list"));
  resize();
  layOutAll();
  // A violation is what people come for; else the beginning is as good as any place.
  select(wanted.event ?? violations[0] ?? null, true);
  if (wanted.fit) fitAll();
  showStates();
  showLegend();
  draw();
  // Since the browser began to read the file.
  const firstPaint = performance.now();
  byId("stage").focus();
  if (wanted.test) selfTest(firstPaint);
}

/** Draws at once: a canvas is empty after its size changed, and would flicker until the next frame. */
function sizeChanged() {
  resize();
  forgetMinimap();
  if (view.isFitted) fitAll();
  clampView();
  draw();
}

start();
