// Puts the page together, and shows the part of the run that the reader wants to see first.

function start() {
  const began = performance.now();
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
  new ResizeObserver(() => { resize(); forgetMinimap(); clampView(); showList(); redraw(); }).observe(byId("stage"));
  resize();
  layOutAll();
  // A violation is what people come for; else the beginning is as good as any place.
  select(wanted.event ?? violations[0] ?? null, true);
  if (wanted.fit) fitAll();
  showStates();
  draw();
  const firstPaint = performance.now() - began;
  byId("stage").focus();
  if (wanted.test) selfTest(firstPaint);
}

start();
