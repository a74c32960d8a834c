// Figures to pixels: the door to the files under drawing/, which alone know Plotly.

/** @import {Drawing, Figure} from "./types.d.ts" */
/** @import {Plot} from "./drawing/plotly.js" */
import { legible, spaced } from "./drawing/legible.js";
import { lay } from "./drawing/marks.js";
import { pictured } from "./drawing/picture.js";
import { CONFIG, library } from "./drawing/plotly.js";
import { listen } from "./drawing/pointer.js";

export { crossed, light } from "./drawing/light.js";
export { turn } from "./drawing/turns.js";

/**
 * What is known of a box beside what Plotly knows.
 * @typedef {{ drawing: Drawing, figure: Figure, looks: string, width: number, height: number, held: boolean, pending: (() => void) | null }} Known
 */

/** @type {WeakMap<HTMLElement, Known>} */
const boxes = new WeakMap();
let held = 0;

/** For how many milliseconds drawing has held the page so far. */
export const drawn = () => held;

/** Have the library loaded, before there is anything to draw. */
export async function prepare() {
  await library().catch(() => {}); // told where it is needed
}

/**
 * Draw a figure in a box, or what is new of it where one is drawn already; zoom stays.
 * While the reader holds the mouse in the box, drawing waits until it is released.
 * @param {HTMLElement} box
 * @param {Figure} figure
 * @param {Drawing} [drawing]
 */
export async function draw(box, figure, drawing = {}) {
  const plotly = await library();
  const before = boxes.get(box);
  if (before?.held) {
    before.pending = () => void draw(box, figure, drawing);
    return;
  }
  const size = before ?? { width: box.clientWidth, height: box.clientHeight }; // to ask is to have the page laid out
  const layout = { ...figure.layout, ...spaced(size.width, figure), ...stretched(figure, drawing), ...(drawing.legend === false ? { showlegend: false } : {}) };
  const known = Object.assign(before ?? { ...size, held: false, pending: null }, { drawing, figure, looks: looksOf(drawing) });
  const began = performance.now();
  const reacted = plotly.react(box, legible(size.width, figure), layout, { ...CONFIG });
  held += performance.now() - began;
  await reacted;
  if (boxes.has(box)) return;
  // Its texts are single numbers without order: a screen reader gets the sentence and the table beside the chart instead.
  for (const drawn of box.querySelectorAll("svg.main-svg")) drawn.setAttribute("aria-hidden", "true");
  boxes.set(box, known);
  begin(/** @type {Plot} */ (box));
  lay(box, drawing);
}

/** Mark a drawn chart as the view has it now, without asking for its figure. @param {HTMLElement} box @param {Drawing} drawing */
export function mark(box, drawing) {
  const known = boxes.get(box);
  if (!known) return;
  known.drawing = drawing;
  if (known.looks === looksOf(drawing)) lay(box, drawing);
  else void draw(box, known.figure, drawing);
}

/** What of a drawing Plotly has to draw. @param {Drawing} drawing */
const looksOf = ({ range, legend }) => JSON.stringify([range, legend]);

/** The x axis over the stretch that is to be seen. @param {Figure} figure @param {Drawing} drawing */
function stretched(figure, drawing) {
  if (!drawing.range || figure.layout.meta.empty) return {};
  const axis = /** @type {object} */ (figure.layout["xaxis"]);
  return { xaxis: { ...axis, range: [...drawing.range], uirevision: drawing.range.join() } };
}

/**
 * What a box shows as a picture that says what it is: a data URL.
 * @param {HTMLElement} box
 * @param {"png" | "svg"} format
 * @param {string} title
 * @param {string} says one sentence below the title
 */
export const picture = (box, format, title, says) => pictured(box, boxes.get(box)?.drawing ?? {}, format, title, says);

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
  const [width, height] = [box.clientWidth, box.clientHeight];
  if (!known || (known.width === width && known.height === height)) return; // the observer tells of the first size, too
  const wide = width !== known.width;
  Object.assign(known, { width, height });
  await plotly.Plots.resize(box);
  if (wide) await draw(box, known.figure, known.drawing);
}

/** What is to be done over a chart for as long as it is there. @param {Plot} box */
function begin(box) {
  resized.observe(box);
  const known = () => boxes.get(box);
  for (const moved of ["plotly_afterplot", "plotly_relayouting"]) box.on(moved, () => lay(box, known()?.drawing ?? {}));
  box.addEventListener("pointerdown", () => {
    const here = known();
    if (!here) return;
    here.held = true;
    const release = () =>
      setTimeout(() => {
        here.held = false;
        const pending = here.pending;
        here.pending = null;
        pending?.();
      });
    addEventListener("pointerup", release, { once: true });
  });
  listen(box, () => known()?.drawing);
}
