"use strict";
// Draws what page.html leaves open. Text from data goes in through textContent alone, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const content = JSON.parse(byId("content").textContent);
  const { runs, plots, pictures } = content;
  const state = { attack: content.attacks[0], image: null, hidden: new Set(), order: [] };
  let plotly = null;

  // Nine colours between which the maps' scale runs: viridis, which stays ordered for colour-blind readers and in grey.
  const SCALE = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const MAPS = ["F(x, label)", "F(x, target)", "F(x\u2032, label)", "F(x\u2032, target)"];

  /** Make an element with attributes (or a text) and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function makeDrawn(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const className = (label) => content.classes[label] ?? (label < 0 ? "no class" : `class ${label}`);

  /** A number as the tables show it. */
  function show(value) {
    if (value === null || value === undefined) return "\u2013";
    if (typeof value === "string") return value;
    const size = Math.abs(value);
    if (size === 0 || (size >= 0.001 && size < 100)) return value.toFixed(3);
    return String(Number(value.toPrecision(size < 1 ? 2 : 4)));
  }

  // ------------------------------------------------------------------------------------------------ theme and runs

  const darkSystem = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (darkSystem.matches ? "dark" : "light")) === "dark";
  // The palette's black cannot be seen on a dark ground.
  const visible = (colour) => (colour === "#000000" && isDark() ? "#e7eaee" : colour);

  function setTheme(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    byId("theme").textContent = `Theme: ${theme}`;
    byId("theme").dataset.theme = theme;
    for (const glyph of document.querySelectorAll(".glyph")) {
      glyph.style.color = visible(runs[Number(glyph.dataset.run)].colour);
    }
    drawPlots();
  }

  function glyphOf(run) {
    const glyph = make("i", { class: "glyph", "aria-hidden": "true", "data-run": String(run), text: runs[run].glyph });
    glyph.style.color = visible(runs[run].colour);
    return glyph;
  }

  function buildChips() {
    runs.forEach((run, position) => {
      const chip = make("button", { type: "button", "aria-pressed": "true", title: run.name }, glyphOf(position), run.name);
      chip.addEventListener("click", () => {
        const hides = !state.hidden.delete(position);
        if (hides) state.hidden.add(position);
        chip.setAttribute("aria-pressed", String(!hides));
        drawPlots();
        showUnits();
        showImage();
      });
      byId("chips").append(chip);
    });
  }

  // ------------------------------------------------------------------------------------------------ plots

  function themed(layout) {
    const [ink, grid] = isDark() ? ["#c8d0d9", "#333a43"] : ["#3b444e", "#e3e6ea"];
    const axis = (given) => ({ gridcolor: grid, zerolinecolor: grid, linecolor: grid, ...given, fixedrange: layout.dragmode !== "zoom" });
    return {
      dragmode: false,
      ...layout,
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: ink },
      hoverlabel: { bgcolor: isDark() ? "#2a3038" : "#ffffff", bordercolor: grid, font: { color: isDark() ? "#e7eaee" : "#1a2027" }, align: "left" },
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
    };
  }

  function themedTrace(trace) {
    const copy = { ...trace, marker: { ...trace.marker, color: visible(trace.marker.color) } };
    if (trace.line) copy.line = { ...trace.line, color: visible(trace.line.color) };
    if (trace.marker.pattern) copy.marker.pattern = { ...trace.marker.pattern, fgcolor: isDark() ? "#1c2026" : "#ffffff" };
    return copy;
  }

  /** Draw a plot into its place, or hide the place where there is nothing to draw. */
  function draw(id, plot, keep = null) {
    const place = byId(id);
    place.closest("figure").hidden = !plot;
    if (!plot) return;
    let traces = plot.data.filter((trace) => !state.hidden.has(trace.meta.run)).map(themedTrace);
    if (keep) {
      traces = traces.map((trace) => {
        const pick = (values) => values.filter((_, point) => keep(trace.customdata[point]));
        return { ...trace, x: pick(trace.x), y: pick(trace.y), customdata: pick(trace.customdata) };
      });
    }
    plotly.react(place, traces, themed(plot.layout), { responsive: true, displayModeBar: false });
  }

  function drawPlots() {
    if (!plotly) return;
    draw("plot-accuracy", plots.accuracy);
    for (const name of ["clean", "robust", "loss"]) draw(`plot-${name}`, plots.training[name]);
    draw("plot-psr", plots.psr[state.attack]);
    draw("plot-is", plots.is[state.attack]);
    draw("plot-bias", plots.bias[byId("quantity").value][state.attack]);
    byId("units-there").hidden = !plots.units;
    if (plots.units) {
      const layer = byId("layer").value;
      // Names in plots are escaped as the first entry of customdata is.
      const escaped = layer.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
      draw("plot-units", plots.units, layer === "" ? null : (custom) => custom[0] === escaped);
      draw("plot-detectors", plots.detectors[layer]);
    }
    byId("significance-there").hidden = content.tops.length === 0;
    if (content.tops.length) {
      draw("plot-significance", plots.significance[`${byId("test").value} ${byId("regular").value} ${byId("top").value}`]);
    }
    const masked = plots.masking[byId("masked").selectedIndex];
    byId("masking-there").hidden = !masked;
    if (masked) for (const kind of ["clean", "robust"]) draw(`plot-masking-${kind}`, masked[kind]);
  }

  // ------------------------------------------------------------------------------------------------ units in images

  /** An image that is dark where a unit is not active, with the share of it that is not. */
  function segmented(picture, [outside, share], size, said) {
    const [height, width] = size;
    // In the mask's own units: as wide on a coarse mask as on a fine one.
    const shadow = `drop-shadow(0 0 ${width / 90}px #ffe14d)`;
    const cover = makeDrawn("svg", { class: "covered", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      makeDrawn("path", { d: outside, fill: "#000000", style: `filter: ${shadow} ${shadow}`, "shape-rendering": "crispEdges" }));
    return [make("div", { class: "picture" }, make("img", { src: pictures[picture], alt: `${said}, active on ${share}` }), cover),
      make("small", { text: `${said} ${share}` })];
  }

  function unitPanel(unit, pair, place, size) {
    const mark = { suppressed: "\u25bc suppressed", promoted: "\u25b2 promoted" }[unit.role] ?? "";
    const caption = make("figcaption", {}, make("b", { text: unit.name }), unit.concept, ...(mark ? [make("br"), mark] : []));
    return make("figure", { class: "panel" }, caption, ...segmented(pair.clean, unit.clean[place], size, "x"),
      ...segmented(pair.adversarial, unit.adversarial[place], size, "x\u2032"));
  }

  function showUnits() {
    const cards = content.unitCards.filter((card) => !state.hidden.has(card.run));
    byId("unit-cards-there").hidden = content.unitCards.length === 0;
    byId("unit-cards").replaceChildren(...cards.flatMap((card) => card.pairs.map((pair, place) => {
      const whole = make("figure", { class: "panel" }, make("figcaption", {}, make("b", { text: "whole image" })),
        ...["clean", "adversarial"].flatMap((kind, below) => [
          make("div", { class: "picture" }, make("img", { src: pictures[pair[kind]], alt: `${kind} image` })), make("small", { text: ["x", "x\u2032"][below] })]));
      return make("article", { class: card.small ? "card small" : "card" },
        make("h4", {}, make("b", {}, glyphOf(card.run), runs[card.run].name),
          make("span", { text: `image ${pair.index}: ${pair.label} \u2192 ${pair.target}` })),
        make("div", { class: "panels units" }, whole, ...card.units.map((unit) => unitPanel(unit, pair, place, card.size))));
    })));
  }

  /** Unpack the plotting library, which lies in the page compressed, and run it. */
  async function loadPlotly() {
    const packed = Uint8Array.from(atob(byId("plotly").textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    plotly = window.Plotly;
  }

  // ------------------------------------------------------------------------------------------------ images: which

  const panels = () => content.images[state.attack] ?? { measures: [], main: [], images: [] };
  const shows = (image, run) => image.runs[run]?.shown;

  function buildSortMenus() {
    const keep = byId("sort").value;
    byId("sort").replaceChildren(new Option("index", ""), ...panels().measures.map((name, place) => new Option(name, String(place))));
    byId("sort").value = [...byId("sort").options].some((option) => option.value === keep) ? keep : "";
    byId("sort-of").replaceChildren(
      ...runs.map((run, position) => new Option(run.name, `run ${position}`)),
      ...runs.slice(1).map((run, position) => new Option(`${run.name} minus ${runs[0].name}`, `difference ${position + 1}`)),
    );
  }

  /** What an image is sorted by; null where it is undefined. */
  function sortValue(image) {
    const measure = byId("sort").value;
    if (measure === "") return image.index;
    const [kind, run] = byId("sort-of").value.split(" ");
    const of = (position) => image.runs[position]?.values[Number(measure)] ?? null;
    const value = of(Number(run));
    if (kind === "run" || value === null) return value;
    const first = of(0);
    return first === null ? null : value - first;
  }

  function buildStrip() {
    let images = panels().images.map((image) => ({ image, value: sortValue(image) }));
    if (byId("common").checked) images = images.filter(({ image }) => runs.every((_, run) => shows(image, run)));
    const sign = byId("ascending").checked || byId("sort").value === "" ? 1 : -1;
    // Undefined ones stand last in either order; equal ones by index.
    images.sort((one, other) =>
      (one.value === null) - (other.value === null) || sign * (one.value - other.value) || one.image.index - other.image.index);
    state.order = images.map(({ image }) => image);
    if (!state.order.includes(state.image)) state.image = state.order[0] ?? null;
    byId("sort-of").disabled = byId("ascending").disabled = byId("sort").value === "";
    byId("strip").replaceChildren(...images.map(({ image, value }) => {
      const shown = image.runs.find((fate) => fate?.shown)?.shown;
      const caption = byId("sort").value === "" ? String(image.index) : show(value);
      const button = make("button", { type: "button", "aria-label": `image ${image.index}, ${className(image.label)}, ${caption}` },
        shown ? make("img", { src: pictures[shown.clean], alt: "" }) : null, make("span", { text: caption }));
      if (shown && shown.size[1] <= 64) button.firstChild.style.imageRendering = "pixelated";
      button.addEventListener("click", () => { state.image = image; showImage(); });
      return make("li", {}, button);
    }));
    byId("images-there").hidden = panels().images.length === 0;
    byId("no-images").hidden = panels().images.length > 0;
    showImage();
  }

  function step(by) {
    const place = state.order.indexOf(state.image) + by;
    if (place < 0 || place >= state.order.length) return;
    state.image = state.order[place];
    showImage();
    byId("strip").children[place].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // ------------------------------------------------------------------------------------------------ images: one

  function outcome(fate) {
    if (!fate) return "never evaluated on this image";
    const [label, prediction, after] = [fate.label, fate.prediction, fate.after].map(className);
    if (!fate.eligible) return `wrong before the attack: ${prediction} instead of ${label}`;
    if (fate.attacked) return `attacked: ${prediction} \u2192 ${after}`;
    return fate.after === fate.prediction ? `withstood: stays ${after}` : `attack failed: ${after}, wanted ${className(fate.target)}`;
  }

  /** A cell's mark, told apart by form as well as by colour. */
  function cellMark(kind, x, y, size, outline) {
    const colour = outline ? content.cellClasses[kind].colour : "#ffffff";
    const look = { fill: colour, stroke: outline ? "#ffffff" : "none", "stroke-width": size * 0.15 };
    if (kind === 2) return makeDrawn("circle", { cx: x, cy: y, r: size * 0.42, ...look });
    const up = kind === 1 ? -1 : 1;
    return makeDrawn("path", { d: `M${x - size / 2} ${y - up * size * 0.4}h${size}L${x} ${y + up * size * 0.45}z`, ...look });
  }

  function cellLayer(shown, filled) {
    const [height, width] = shown.size;
    const layer = makeDrawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    for (const [top, left, bottom, right, kind, ratio] of shown.cells) {
      const size = Math.min(right - left, bottom - top) * 0.55;
      const mark = cellMark(kind, (left + right) / 2, (top + bottom) / 2, size, !filled);
      if (!filled) { layer.append(mark); continue; }
      const said = makeDrawn("title");
      said.textContent = `rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1}: ${content.cellClasses[kind].name}, r = ${show(ratio)}`;
      layer.append(makeDrawn("g", {}, said, makeDrawn("rect", {
        x: left, y: top, width: right - left, height: bottom - top, fill: content.cellClasses[kind].colour, "fill-opacity": 0.8,
        stroke: "#ffffff", "stroke-width": size * 0.08,
      }), mark));
    }
    return layer;
  }

  const scaleTable = (() => {
    const channels = SCALE.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    return Array.from({ length: 256 }, (_, level) => {
      const place = (level / 255) * (channels.length - 1);
      const below = Math.min(Math.floor(place), channels.length - 2);
      return [0, 1, 2].map((channel) => channels[below][channel] + (place - below) * (channels[below + 1][channel] - channels[below][channel]));
    });
  })();

  /** Colour a map: its 256 levels run from its own low to its own high, the colours from the scale's. */
  async function paintMap(canvas, maps, which, scale) {
    const picture = new Image();
    picture.src = pictures[maps.pictures[which]];
    await picture.decode();
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const values = new Float32Array(pixels.data.length / 4);
    for (let pixel = 0; pixel < values.length; pixel++) {
      values[pixel] = maps.low + (pixels.data[4 * pixel] / 255) * (maps.high - maps.low);
      const level = scale.high > scale.low ? Math.round(255 * (values[pixel] - scale.low) / (scale.high - scale.low)) : 0;
      pixels.data.set(scaleTable[Math.max(0, Math.min(255, level))], 4 * pixel);
    }
    context.putImageData(pixels, 0, 0);
    canvas.values = values;
  }

  function mapPanel(fate, which, scale, readout) {
    const { shown } = fate;
    const named = MAPS[which].replace("label", className(fate.label)).replace("target", className(fate.target));
    const canvas = make("canvas", { width: shown.size[1], height: shown.size[0], role: "img", "aria-label": `class activation map ${named}` });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.values) return;
      const box = canvas.getBoundingClientRect();
      const column = Math.min(canvas.width - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * canvas.width)));
      const row = Math.min(canvas.height - 1, Math.max(0, Math.floor((event.clientY - box.top) / box.height * canvas.height)));
      readout.textContent = `${named} = ${show(canvas.values[row * canvas.width + column])} at row ${row}, column ${column}`;
    });
    canvas.addEventListener("pointerleave", () => { readout.textContent = ""; });
    paintMap(canvas, shown.maps, which, scale);
    const marks = byId("marks").checked && shown.cells ? cellLayer(shown, false) : null;
    if (marks) marks.style.pointerEvents = "none";
    return panel(named, canvas, marks);
  }

  const panel = (title, ...layers) =>
    make("figure", { class: "panel" }, make("figcaption", { text: title }), make("div", { class: "picture" }, ...layers.filter(Boolean)));

  function card(image, run, common) {
    const fate = image.runs[run];
    const head = make("h4", {}, make("div", {}, glyphOf(run), runs[run].name), make("span", { text: outcome(fate) }));
    const element = make("article", { class: "card" }, head);
    if (!fate?.shown) {
      if (fate) element.append(make("p", { class: "note", text: "This run kept no pictures of the image: only of its first attacked ones." }));
      return element;
    }
    const { shown } = fate;
    if (shown.size[1] <= 64) element.classList.add("small");
    const picture = (which, alt) => make("img", { src: pictures[shown[which]], alt, width: shown.size[1], height: shown.size[0] });
    const factor = image.scale > 0 ? `\u00d7${(1 / (2 * image.scale)).toPrecision(3)}` : "";
    const grid = make("div", { class: "panels" },
      panel(`x: ${className(fate.prediction)}`, picture("clean", "clean image")),
      panel(`x\u2032: ${className(fate.after)}`, picture("adversarial", "adversarial image")),
      panel(`x\u2032 \u2212 x ${factor} (\u00b1${Number((image.scale * 255).toPrecision(3))}/255)`, picture("perturbation", "perturbation, amplified; grey is none")));
    if (shown.cells) {
      const below = picture("clean", `PSR classes of ${shown.cells.length} significant cells`);
      below.className = "grey";
      grid.append(panel("PSR classes", below, cellLayer(shown, true)));
    }
    element.append(grid);
    if (shown.maps) {
      const scale = byId("scale").value === "common" ? common : shown.maps;
      const readout = make("output", { "aria-live": "off" });
      grid.append(...MAPS.map((_, which) => mapPanel(fate, which, scale, readout)));
      const bar = make("i", { role: "img", "aria-label": `colours from ${show(scale.low)} to ${show(scale.high)}` });
      bar.style.background = `linear-gradient(to right, ${SCALE.join(",")})`;
      element.append(make("div", { class: "colours" }, make("span", { text: "class activation map F" }),
        make("span", { text: show(scale.low) }), bar, make("span", { text: show(scale.high) }), readout));
    }
    return element;
  }

  function valueTable(image) {
    const all = byId("all-measures").checked;
    const cell = (tag, text, scope) => make(tag, scope ? { scope, text } : { text });
    const head = make("tr", {}, cell("th", "measure", "col"), ...runs.map((run) => cell("th", run.name, "col")),
      ...runs.slice(1).map((run) => cell("th", `${run.name} minus ${runs[0].name}`, "col")));
    const rows = panels().measures.flatMap((name, place) => {
      if (!all && !panels().main[place]) return [];
      const values = image.runs.map((fate) => fate?.values[place] ?? null);
      const differences = values.slice(1).map((value) => (value === null || values[0] === null ? null : value - values[0]));
      const label = make("th", { scope: "row" }, ...name.split(/(?<=[/._])/).flatMap((part) => [part, make("wbr")]));
      return [make("tr", {}, label, ...values.map((value) => cell("td", show(value))),
        ...differences.map((value) => cell("td", value > 0 ? `+${show(value)}` : show(value))))];
    });
    byId("values").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  }

  function showImage() {
    const { image } = state;
    [...byId("strip").querySelectorAll("button")].forEach((button, place) =>
      button.setAttribute("aria-current", String(state.order[place] === image)));
    if (!image) { byId("image-title").textContent = "No image is shown by every run"; byId("cards").replaceChildren(); byId("values").replaceChildren(); return; }
    const place = state.order.indexOf(image);
    byId("image-title").textContent = `Image ${image.index}: ${className(image.label)} (${place + 1} of ${state.order.length})`;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === state.order.length - 1;
    const seen = runs.map((_, run) => run).filter((run) => !state.hidden.has(run));
    const maps = seen.map((run) => shows(image, run)?.maps).filter(Boolean);
    const common = { low: Math.min(...maps.map((found) => found.low)), high: Math.max(...maps.map((found) => found.high)) };
    byId("cards").replaceChildren(...seen.map((run) => card(image, run, common)));
    valueTable(image);
  }

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea, .scroll, .chips, nav")) return;
    const by = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
    if (!by || !state.image) return;
    event.preventDefault();
    step(by);
  }

  // ------------------------------------------------------------------------------------------------ start

  function setAttack() {
    state.attack = byId("attack").value;
    for (const place of document.querySelectorAll("[data-attack]")) place.textContent = `under ${state.attack}`;
    buildSortMenus();
    buildStrip();
    drawPlots();
  }

  function listen() {
    byId("attack").addEventListener("change", setAttack);
    for (const id of ["quantity", "layer", "top", "test", "regular", "masked"]) byId(id).addEventListener("change", drawPlots);
    for (const id of ["sort", "sort-of", "ascending", "common"]) byId(id).addEventListener("change", buildStrip);
    for (const id of ["scale", "marks", "all-measures"]) byId(id).addEventListener("change", showImage);
    byId("all-figures").addEventListener("change", (event) => byId("figures").classList.toggle("everything", event.target.checked));
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    document.addEventListener("keydown", onKey);
    darkSystem.addEventListener("change", () => setTheme(byId("theme").dataset.theme));
    byId("theme").addEventListener("click", () => {
      const next = { system: "light", light: "dark", dark: "system" }[byId("theme").dataset.theme];
      try { localStorage.setItem("advscope-theme", next); } catch { /* A sandboxed frame keeps nothing. */ }
      setTheme(next);
    });
  }

  async function start() {
    buildChips();
    byId("attack").replaceChildren(...content.attacks.map((name) => new Option(name, name)));
    byId("attack-label").hidden = content.attacks.length < 2;
    byId("layer").replaceChildren(...content.layers.map((name) => new Option(name, name)), new Option("all layers", ""));
    byId("layer").selectedIndex = Math.max(0, content.firstLayer);
    byId("top").replaceChildren(...content.tops.map((top) => new Option(String(top), String(top))));
    byId("top").selectedIndex = content.tops.length - 1;
    byId("masked").replaceChildren(...plots.masking.map(({ layer, attack }) => new Option(`${layer}, ${attack}`)));
    showUnits();
    byId("cell-legend").replaceChildren(...content.cellClasses.map((kind, place) => {
      const box = makeDrawn("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" },
        makeDrawn("rect", { width: 10, height: 10, fill: kind.colour }), cellMark(place, 5, 5, 6, false));
      return make("li", {}, box, ["suppression (r < \u22121)", "promotion (r > 1)", "balance (|r| \u2264 1)"][place]);
    }));
    listen();
    let theme = "system";
    try { theme = localStorage.getItem("advscope-theme") ?? "system"; } catch { /* As above. */ }
    setAttack();
    setTheme(theme);
    await loadPlotly();
    drawPlots();
    document.documentElement.dataset.state = "ready";
  }

  start().catch((error) => {
    byId("trouble").hidden = false;
    byId("trouble").textContent = `The plots cannot be drawn (${error.message}); the tables are complete. A current browser shows all.`;
    document.documentElement.dataset.state = "failed";
  });
})();
