// What of a matrix can be read in its box: numbers in the cells as small as they must be, and as many names as fit below.

/** @import {Figure} from "../types.d.ts" */

const LEAST_TEXT = 8; // pixels; smaller can't be read
const LEAST_TICK = 11; // pixels from one slanted name to the next
const BESIDE = 150; // pixels beside the cells of a matrix: names and the bar of its ink

/**
 * The traces as they can be read in this box: numbers in the cells of a matrix as small as they must be, or none.
 * @param {number} width of the box, pixels
 * @param {Figure} figure
 */
export function legible(width, { data, layout }) {
  const texts = data.map((trace) => ("texttemplate" in trace && "text" in trace ? /** @type {string[][]} */ (trace.text) : []));
  const rows = texts[0]?.length;
  if (!rows) return data;
  const longest = (/** @type {string[]} */ words) => words.reduce((most, word) => Math.max(most, word.length), 0);
  const names = /** @type {{ ticktext?: string[] }} */ (layout["yaxis"]).ticktext ?? [];
  const aside = 60 + 6 * longest(names) + (data.some((trace) => "colorbar" in trace) ? 60 : 0); // what stands beside the cells
  const size = (width - aside) / rows / longest(texts.flat(2)) / 0.62;
  if (size >= 11) return data;
  return data.map((trace) => ({ ...trace, ...(size < LEAST_TEXT ? { texttemplate: "" } : { textfont: { size } }) }));
}

/** The names below a matrix, of as many classes as there is room for. @param {number} width of the box, pixels @param {Figure} figure */
export function spaced(width, figure) {
  const axis = /** @type {{ tickvals?: number[], ticktext?: string[] }} */ (figure.layout["xaxis"]);
  if (!figure.layout.meta.order || !axis?.tickvals?.length) return {};
  const every = Math.ceil((axis.tickvals.length * LEAST_TICK) / Math.max(width - BESIDE, 1));
  if (every < 2) return {};
  const kept = (/** @type {number} */ at) => at % every === 0;
  return { xaxis: { ...axis, tickvals: axis.tickvals.filter((_, at) => kept(at)), ticktext: (axis.ticktext ?? []).filter((_, at) => kept(at)) } };
}
