// Figures to pixels. The only file that knows Plotly.

/** @import {Drawing, Figure} from "./types.d.ts" */

/**
 * What is used of Plotly.
 * @typedef {HTMLElement & {
 *   on: (event: string, listener: (event: any) => void) => void,
 *   _fullLayout?: any,
 * }} Plot
 * @typedef {{
 *   react: (box: HTMLElement, data: object[], layout: object, config: object) => Promise<Plot>,
 *   purge: (box: HTMLElement) => void,
 *   toImage: (figure: { data: object[], layout: object }, how: object) => Promise<string>,
 *   Plots: { resize: (box: HTMLElement) => Promise<void> },
 * }} Plotly
 */

const SCRIPT = "/vendor/plotly-cartesian-4.1.1.min.js";
const LEAST_TEXT = 8; // pixels; smaller can't be read
const LEAST_TICK = 11; // pixels from one slanted name to the next
const BESIDE = 150; // pixels beside the cells of a matrix: names and the bar of its ink
const CONFIG = Object.freeze({
  displaylogo: false,
  showSendToCloud: false, // it would send the reader's numbers to a company
  plotlyServerURL: "",
  showLink: false,
  responsive: false, // a ResizeObserver sees more than the window's size
  displayModeBar: "hover",
  modeBarButtonsToRemove: ["lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "png", scale: 2 },
});

/**
 * What is known of a box beside what Plotly knows.
 * @typedef {{ drawing: Drawing, pending: (() => void) | null, held: boolean, brushes: number, width: number, figure: Figure, drawn: string }} Known
 */

/** @type {WeakMap<HTMLElement, Known>} */
const boxes = new WeakMap();
/** @type {Promise<Plotly> | null} */
let loading = null;
let held = 0;

/** For how many milliseconds drawing has held the page so far. */
export const drawn = () => held;

/**
 * Draw a figure in a box, or what is new of it where one is drawn already; zoom stays.
 * While the reader holds the mouse in the box, drawing waits until it is released.
 * @param {HTMLElement} box
 * @param {Figure} figure
 * @param {Drawing} [drawing]
 */
export async function draw(box, figure, drawing = {}) {
  const plotly = await library();
  const known = boxes.get(box);
  if (known?.held) {
    known.pending = () => void draw(box, figure, drawing);
    return;
  }
  const brushes = known?.brushes ?? 0;
  const layout = { ...figure.layout, ...marked(box, figure, drawing), ...spaced(box, figure), ...stretched(figure, drawing), ...(drawing.legend === false ? { showlegend: false } : {}), selections: [], selectionrevision: brushes };
  const began = performance.now();
  const reacted = plotly.react(box, legible(box, figure), layout, { ...CONFIG });
  held += performance.now() - began;
  await reacted;
  // Its texts are single numbers without order: a screen reader gets the sentence and the table beside the chart instead.
  for (const drawn of box.querySelectorAll("svg.main-svg")) drawn.setAttribute("aria-hidden", "true");
  if (known) {
    known.drawing = drawing;
    known.figure = figure;
    known.width = box.clientWidth;
    known.drawn = drawnOf(drawing, brushes);
  } else {
    boxes.set(box, { drawing, pending: null, held: false, brushes, width: box.clientWidth, figure, drawn: drawnOf(drawing, brushes) });
    listen(/** @type {Plot} */ (box));
  }
}

/** The names below a matrix, of as many classes as there is room for. @param {HTMLElement} box @param {Figure} figure */
function spaced(box, figure) {
  const axis = /** @type {{ tickvals?: number[], ticktext?: string[] }} */ (figure.layout["xaxis"]);
  if (!figure.layout.meta.order || !axis?.tickvals?.length) return {};
  const every = Math.ceil((axis.tickvals.length * LEAST_TICK) / Math.max(box.clientWidth - BESIDE, 1));
  if (every < 2) return {};
  const kept = (/** @type {number} */ at) => at % every === 0;
  return { xaxis: { ...axis, tickvals: axis.tickvals.filter((_, at) => kept(at)), ticktext: (axis.ticktext ?? []).filter((_, at) => kept(at)) } };
}

/** The x axis over the stretch that is to be seen. @param {Figure} figure @param {Drawing} drawing */
function stretched(figure, drawing) {
  if (!drawing.range || figure.layout.meta.empty) return {};
  const axis = /** @type {object} */ (figure.layout["xaxis"]);
  return { xaxis: { ...axis, range: [...drawing.range], uirevision: drawing.range.join() } };
}

/**
 * A hairline over a chart at a place of its x axis, and what each of its lines is there; null takes it away.
 * @param {HTMLElement} box
 * @param {number | null} x
 * @returns {{ left: number, top: number, height: number, values: { name: string, colour: string, value: number }[] } | null} pixels within the box
 */
export function crossed(box, x) {
  const full = /** @type {Plot} */ (box)._fullLayout;
  if (x === null || !boxes.has(box) || !full?.xaxis || full.meta?.empty) return null;
  const at = full.xaxis.d2p(x);
  if (!(at >= 0 && at <= full.xaxis._length)) return null;
  const lines = /** @type {any[]} */ (/** @type {any} */ (box)._fullData).filter((trace) => trace.visible === true && trace.hovertemplate && trace.mode !== "markers");
  const values = lines.map((trace) => ({ name: String(trace.name), colour: String(trace.line.color), value: near(trace.x, trace.y, x) })).filter(({ value }) => Number.isFinite(value));
  return { left: full.xaxis._offset + at, top: full.yaxis._offset, height: full.yaxis._length, values };
}

/** The value nearest to a place, of points in order. @param {ArrayLike<number>} places @param {ArrayLike<number>} values @param {number} x */
function near(places, values, x) {
  let low = 0;
  let high = places.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((places[middle] ?? 0) <= x) low = middle;
    else high = middle;
  }
  const gap = (/** @type {number} */ at) => Math.abs((places[at] ?? 0) - x);
  return values[gap(low) <= gap(high) ? low : high] ?? NaN;
}

/**
 * Light classes, by index, in every chart that shows them: their lines stand out, their rows and columns are crossed.
 * Nothing is drawn anew: CSS does it.
 * @param {readonly number[]} classes none: all as it was
 */
export function light(classes) {
  for (const box of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".js-plotly-plot"))) {
    const { meta } = boxes.get(box)?.figure.layout ?? {};
    if (!meta) continue;
    const lines = [...box.querySelectorAll(".scatterlayer > .trace")].map((line) => ({ line, of: /** @type {any} */ (line).__data__?.[0]?.trace?.meta?.class }));
    const some = lines.some(({ of }) => classes.includes(of));
    box.classList.toggle("lighting", some);
    for (const { line, of } of lines) line.classList.toggle("lit", some && classes.includes(of));
    for (const old of box.querySelectorAll(".crossing")) old.remove();
    const rows = meta.charts ? [] : (meta.order ?? meta.rows ?? []);
    for (const [at, index] of classes.entries()) {
      const place = rows.indexOf(index);
      if (place < 0) continue;
      if (!meta.order || at === 0) cross(/** @type {Plot} */ (box), "yaxis", place);
      if (meta.order && (at === 1 || classes.length === 1)) cross(/** @type {Plot} */ (box), "xaxis", place);
    }
  }
}

/** A band over a row or a column. @param {Plot} box @param {"xaxis" | "yaxis"} along @param {number} place */
function cross(box, along, place) {
  const { xaxis, yaxis } = box._fullLayout ?? {};
  if (!xaxis || !yaxis) return;
  const of = along === "xaxis" ? xaxis : yaxis;
  const [a, b] = [of.d2p(place - 0.5), of.d2p(place + 0.5)];
  const [low, high] = [Math.max(Math.min(a, b), 0), Math.min(Math.max(a, b), of._length)];
  if (!(high > low)) return;
  const band = document.createElement("i");
  band.className = "crossing";
  const [x, y, width, height] = along === "xaxis" ? [xaxis._offset + low, yaxis._offset, Math.max(high - low, 2), yaxis._length] : [xaxis._offset, yaxis._offset + low, xaxis._length, Math.max(high - low, 2)];
  Object.assign(band.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  box.append(band);
}

/** Draw a figure's marks anew without asking for the figure. @param {HTMLElement} box @param {Drawing} drawing */
export function mark(box, drawing) {
  const known = boxes.get(box);
  if (!known) return;
  if (known.drawn === drawnOf(drawing, known.brushes)) known.drawing = drawing;
  else void draw(box, known.figure, drawing);
}

/** What is to be seen of a drawing, and how often the reader has drawn a stretch over it; what listens is left out. @param {Drawing} drawing @param {number} brushes */
const drawnOf = (drawing, brushes) => JSON.stringify([drawing, brushes]);

/**
 * What a box shows as a picture that says what it is: a data URL.
 * @param {HTMLElement} box
 * @param {"png" | "svg"} format
 * @param {string} title
 * @param {string} says one sentence below the title
 */
export async function picture(box, format, title, says) {
  const plotly = await library();
  const { data, layout } = /** @type {{ data: object[], layout: Record<string, any> }} */ (/** @type {unknown} */ (box));
  const style = getComputedStyle(box);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const width = Math.max(box.clientWidth, 480);
  const lines = wrapped(says, Math.floor(width / 6.5));
  const top = 46 + 16 * lines.length;
  const said = {
    ...layout,
    width,
    height: box.clientHeight + top,
    paper_bgcolor: ink("--surface"),
    margin: { ...layout["margin"], t: (layout["margin"]?.t ?? 10) + top },
    title: {
      text: `<b>${escaped(title)}</b>`,
      subtitle: { text: lines.map(escaped).join("<br>"), font: { size: 12, color: ink("--muted") } },
      x: 0,
      xref: "container",
      xanchor: "left",
      y: 1,
      yref: "container",
      yanchor: "top",
      pad: { l: 14, t: 14 },
      font: { size: 15, color: ink("--ink") },
    },
    selections: [],
  };
  return plotly.toImage({ data, layout: said }, { format, width, height: said.height, scale: format === "png" ? 2 : 1 });
}

/** Plotly reads markup in every text. @param {string} text */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Words in lines of at most so many characters. @param {string} text @param {number} length */
function wrapped(text, length) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (`${lines[last]} ${word}`.length <= length || lines[last] === "") lines[last] = `${lines[last]} ${word}`.trim();
    else lines.push(word);
  }
  return lines;
}

/** Give back what a box holds. @param {HTMLElement} box */
export async function erase(box) {
  if (!boxes.has(box)) return;
  boxes.delete(box);
  resized.unobserve(box);
  (await library()).purge(box);
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const box = /** @type {HTMLElement} */ (target);
    if (box.offsetWidth && boxes.has(box)) requestAnimationFrame(() => void fit(box));
  }
});

/** @param {HTMLElement} box */
async function fit(box) {
  const plotly = await library();
  const known = boxes.get(box);
  if (!known) return;
  await plotly.Plots.resize(box);
  if (box.clientWidth !== known.width) await draw(box, known.figure, known.drawing);
}

/** Have the library loaded, before there is anything to draw. */
export function prepare() {
  library().catch(() => {}); // told where it is needed
}

/** @returns {Promise<Plotly>} */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.onload = () => resolve(/** @type {any} */ (globalThis).Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The drawing library could not be loaded from the service."));
    };
    document.head.append(script);
  });
  return loading;
}

/** @param {Plot} box */
function listen(box) {
  resized.observe(box);
  const known = () => boxes.get(box);
  box.addEventListener("pointerdown", () => {
    const here = known();
    if (!here) return;
    here.held = true;
    addEventListener(
      "pointerup",
      () =>
        setTimeout(() => {
          here.held = false;
          const pending = here.pending;
          here.pending = null;
          pending?.();
        }),
      { once: true },
    );
  });
  box.addEventListener("pointerdown", (down) => {
    const place = known()?.drawing.onName && named(box, down);
    if (typeof place !== "number") return;
    // Plotly lays something over the page while a button is pressed on an axis: the release is heard of there.
    addEventListener("pointerup", (up) => Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) < 4 && known()?.drawing.onName?.(place), { once: true });
  });
  box.on("plotly_hover", (event) => {
    const point = event.points?.[0];
    const index = point?.data?.meta?.class;
    if (typeof index === "number") known()?.drawing.onClass?.(index);
    if (Array.isArray(point?.pointNumber)) known()?.drawing.onHover?.([Math.round(point.y), Math.round(point.x)]);
  });
  box.on("plotly_unhover", () => {
    known()?.drawing.onHover?.(null);
    known()?.drawing.onClass?.(null);
  });
  box.addEventListener("pointermove", (event) => {
    const tell = known()?.drawing.onPoint;
    const axis = box._fullLayout?.xaxis;
    if (!tell || !axis) return;
    const at = event.clientX - box.getBoundingClientRect().left - axis._offset;
    tell(at >= 0 && at <= axis._length ? axis.p2d(at) : null);
  });
  box.addEventListener("pointerleave", () => known()?.drawing.onPoint?.(null));
  /** @param {any} event @param {boolean} done */
  const brush = (event, done) => {
    const range = event?.range?.x;
    const here = known();
    if (!here || !range) return;
    if (done) here.brushes += 1;
    const [across, upright] = [range, event.range.y].map((ends) => /** @type {[number, number]} */ ([Math.min(...(ends ?? [0])), Math.max(...(ends ?? [0]))]));
    if (across) here.drawing.onBrush?.(across, done, upright);
  };
  box.on("plotly_selecting", (event) => brush(event, false));
  box.on("plotly_selected", (event) => brush(event, true));
  box.on("plotly_deselect", () => known()?.drawing.onBrush?.(null, true));
  box.on("plotly_click", (event) => {
    const point = event.points?.[0];
    if (!point) return;
    if (Array.isArray(point.pointNumber)) known()?.drawing.onCell?.(point.pointNumber[0], point.pointNumber[1], point.customdata);
    else known()?.drawing.onPick?.(Number(point.x));
  });
}

/** The place on an axis beside which the pointer is, where the names of classes stand. @param {Plot} box @param {PointerEvent} event */
function named(box, event) {
  const { xaxis, yaxis } = box._fullLayout ?? {};
  if (!xaxis || !yaxis) return null;
  const { left, top } = box.getBoundingClientRect();
  const x = event.clientX - left - xaxis._offset;
  const y = event.clientY - top - yaxis._offset;
  if (x < 0 && x > -160 && y >= 0 && y <= yaxis._length) return Math.round(yaxis.p2d(y));
  if (xaxis.tickmode === "array" && y > yaxis._length && y < yaxis._length + 60 && x >= 0 && x <= xaxis._length) return Math.round(xaxis.p2d(x));
  return null;
}

/**
 * The traces as they can be read in this box: numbers in the cells of a matrix as small as they must be, or none.
 * @param {HTMLElement} box
 * @param {Figure} figure
 */
function legible(box, { data, layout }) {
  const texts = data.map((trace) => ("texttemplate" in trace && "text" in trace ? /** @type {string[][]} */ (trace.text) : []));
  const rows = texts[0]?.length;
  if (!rows) return data;
  const longest = (/** @type {string[]} */ words) => words.reduce((most, word) => Math.max(most, word.length), 0);
  const names = /** @type {{ ticktext?: string[] }} */ (layout["yaxis"]).ticktext ?? [];
  const aside = 60 + 6 * longest(names) + (data.some((trace) => "colorbar" in trace) ? 60 : 0); // what stands beside the cells
  const size = (box.clientWidth - aside) / rows / longest(texts.flat(2)) / 0.62;
  if (size >= 11) return data;
  return data.map((trace) => ({ ...trace, ...(size < LEAST_TEXT ? { texttemplate: "" } : { textfont: { size } }) }));
}

/**
 * The layout's shapes and annotations with the page's marks: hairlines where epochs begin, the chosen window, the cell that
 * is followed.
 * @param {HTMLElement} box
 * @param {Figure} figure
 * @param {Drawing} drawing
 */
function marked(box, figure, drawing) {
  const marks = drawing.marks;
  if (figure.layout.meta.empty) return {};
  const style = getComputedStyle(box);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  if (drawing.cell) {
    const [row, column] = drawing.cell;
    return { shapes: [{ type: "rect", x0: column - 0.5, x1: column + 0.5, y0: row - 0.5, y1: row + 0.5, line: { color: ink("--accent"), width: 2 } }] };
  }
  if (!marks) return {};
  const upright = { xref: "x", yref: "paper", y0: 0, y1: 1 };
  /** @type {object[]} */
  const shapes = marks.lines.map(({ at }) => ({ ...upright, type: "line", x0: at, x1: at, layer: "below", line: { color: ink("--hairline"), width: 1 } }));
  if (marks.window) {
    const [x0, x1] = marks.window;
    shapes.push({ ...upright, type: "rect", x0, x1, layer: "below", fillcolor: ink("--window"), line: { width: 0 } });
    for (const at of [x0, x1]) shapes.push({ ...upright, type: "line", x0: at, x1: at, line: { color: ink("--accent"), width: 1 } });
  }
  const roomy = box.clientWidth / (marks.lines.length + 1) > 100;
  const words = marks.lines
    .map(({ at, text, short }) => ({ at, text: roomy ? text : short }))
    .filter(({ text }) => text)
    .map(({ at, text }) => ({ x: at, xref: "x", y: 0, yref: "paper", xanchor: "left", yanchor: "bottom", xshift: 2, text, showarrow: false, font: { size: 10, color: ink("--muted") } }));
  return { shapes, annotations: [.../** @type {object[]} */ (figure.layout["annotations"] ?? []), ...words] };
}
