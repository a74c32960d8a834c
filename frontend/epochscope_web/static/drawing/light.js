// What is seen of a drawn chart without drawing it anew: classes that are lit, and the hairline with its values.

/** @import {Plot} from "./plotly.js" */
import { put } from "./marks.js";

/**
 * Light classes, by index, in every chart that shows them: their lines stand out, their rows and columns are crossed.
 * Nothing is drawn anew: CSS does it.
 * @param {readonly number[]} classes none: all as it was
 */
export function light(classes) {
  for (const box of /** @type {NodeListOf<Plot>} */ (document.querySelectorAll(".js-plotly-plot"))) {
    const { meta } = box._fullLayout ?? {};
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
      if (!meta.order || at === 0) cross(box, "yaxis", place);
      if (meta.order && (at === 1 || classes.length === 1)) cross(box, "xaxis", place);
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
  const wide = Math.max(high - low, 2);
  if (along === "xaxis") put(band, xaxis._offset + low, yaxis._offset, wide, yaxis._length);
  else put(band, xaxis._offset, yaxis._offset + low, xaxis._length, wide);
  box.append(band);
}

/**
 * A hairline over a chart at a place of its x axis, and what each of its lines is there; null takes it away.
 * @param {HTMLElement} box
 * @param {number | null} x
 * @returns {{ left: number, top: number, height: number, values: { name: string, colour: string, value: number, of: number | undefined }[] } | null} pixels within the box
 */
export function crossed(box, x) {
  const { _fullLayout: full, _fullData: data } = /** @type {Plot} */ (box);
  if (x === null || !full?.xaxis || full.meta?.empty) return null;
  const at = full.xaxis.d2p(x);
  if (!(at >= 0 && at <= full.xaxis._length)) return null;
  const lines = /** @type {any[]} */ (data).filter((trace) => trace.visible === true && trace.hovertemplate && trace.mode !== "markers");
  const values = lines.map((trace) => ({ name: String(trace.name), colour: String(trace.line.color), value: near(trace.x, trace.y, x), of: trace.meta?.class })).filter(({ value }) => Number.isFinite(value));
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
