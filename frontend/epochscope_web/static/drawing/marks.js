// The page's marks over a chart: where epochs begin, the chosen window, the cell that is followed. On the page they are
// elements of their own, as a chart of a hundred lines takes Plotly a tenth of a second to draw anew; in a picture, shapes.

/** @import {Drawing} from "../types.d.ts" */
/** @import {Plot} from "./plotly.js" */

const LETTER = 6; // pixels, about: a word that would be cut is left out

/**
 * A mark over the whole height of a plot, or around a cell; with `text`, a word at its foot.
 * @typedef {{ kind: "line" | "window" | "edge" | "cell" | "word", x: [number, number], y?: [number, number], text?: string }} Mark
 */

/** What is to be marked. @param {Drawing} drawing @param {number} wide pixels @returns {Mark[]} */
function marked({ cell, marks }, wide) {
  if (cell) {
    const [row, column] = cell;
    return [{ kind: "cell", x: [column - 0.5, column + 0.5], y: [row - 0.5, row + 0.5] }];
  }
  if (!marks) return [];
  /** @type {Mark[]} */
  const found = marks.lines.map(({ at }) => ({ kind: "line", x: [at, at] }));
  if (marks.window) found.push({ kind: "window", x: marks.window }, ...marks.window.map((at) => /** @type {Mark} */ ({ kind: "edge", x: [at, at] })));
  const roomy = wide / (marks.lines.length + 1) > 100;
  for (const { at, text, short } of marks.lines) if (roomy ? text : short) found.push({ kind: "word", x: [at, at], text: roomy ? text : short });
  return found;
}

/** Lay a drawing's marks over what Plotly has drawn; those from before go. @param {HTMLElement} box @param {Drawing} drawing */
export function lay(box, drawing) {
  const full = /** @type {Plot} */ (box)._fullLayout;
  const there = full?.xaxis && full.yaxis && !full.meta?.empty;
  const { under, over } = sheets(box);
  under.replaceChildren();
  over.replaceChildren();
  if (!there) return;
  const { xaxis, yaxis, _size: size } = full;
  for (const sheet of [under, over]) put(sheet, xaxis._offset, size.t, xaxis._length, size.h);
  for (const { kind, x, y, text } of marked(drawing, full.width)) {
    const [left, right] = ends(xaxis, x);
    const [top, bottom] = y ? ends(yaxis, y) : [0, size.h];
    if (right < 0 || left + (text ? LETTER * text.length : 0) > xaxis._length) continue;
    const element = document.createElement(text ? "span" : "i");
    element.className = `mark ${kind}`;
    element.textContent = text ?? "";
    if (text) element.style.left = `${left + 2}px`;
    else put(element, left, top + (y ? yaxis._offset - size.t : 0), right - left, bottom - top);
    (kind === "line" || kind === "window" ? under : over).append(element);
  }
}

/** The sheets below and above the lines of a chart. @param {HTMLElement} box */
export function sheets(box) {
  const [under, over] = ["under", "over"].map((where) => {
    const found = /** @type {HTMLElement | null} */ (box.querySelector(`:scope > .marks.${where}`));
    if (found) return found;
    const made = document.createElement("div");
    made.className = `marks ${where}`;
    made.setAttribute("aria-hidden", "true");
    box.append(made);
    return made;
  });
  return { under: /** @type {HTMLElement} */ (under), over: /** @type {HTMLElement} */ (over) };
}

/** The same as shapes and annotations of a layout. @param {HTMLElement} box @param {Drawing} drawing */
export function asShapes(box, drawing) {
  const style = getComputedStyle(box);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const looks = {
    line: { type: "line", layer: "below", line: { color: ink("--hairline"), width: 1 } },
    window: { type: "rect", layer: "below", fillcolor: ink("--window"), line: { width: 0 } },
    edge: { type: "line", line: { color: ink("--accent"), width: 1 } },
    cell: { type: "rect", line: { color: ink("--accent"), width: 2 } },
  };
  const shapes = [];
  const annotations = [];
  for (const { kind, x, y, text } of marked(drawing, /** @type {Plot} */ (box)._fullLayout.width)) {
    if (kind === "word") annotations.push({ x: x[0], xref: "x", y: 0, yref: "paper", xanchor: "left", yanchor: "bottom", xshift: 2, text, showarrow: false, font: { size: 10, color: ink("--muted") } });
    else shapes.push({ ...looks[kind], xref: "x", yref: y ? "y" : "paper", x0: x[0], x1: x[1], y0: y?.[0] ?? 0, y1: y?.[1] ?? 1 });
  }
  return { shapes, annotations };
}

/** Two values of an axis in pixels along it, the smaller first. @param {any} axis @param {[number, number]} values @returns {[number, number]} */
function ends(axis, values) {
  const [a = 0, b = 0] = values.map((value) => Number(axis.d2p(value)));
  return [Math.min(a, b), Math.max(a, b)];
}

/** @param {HTMLElement} element @param {number} left @param {number} top @param {number} width @param {number} height */
export function put(element, left, top, width, height) {
  Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
