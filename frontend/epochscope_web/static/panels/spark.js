// A course of numbers from 0 to 1 as a line of the size of a word.

import { measure } from "./words.js";

const WIDTH = 84;
const HEIGHT = 22;
const EDGE = 3; // so that the last point is whole

/**
 * The line; its height is the square root of what is missing to 1, so that late progress can be seen as well.
 * @param {(number | null)[]} values
 * @param {string} name what it is the course of
 * @param {number} floor the value at the foot of the line; the same for all that are compared
 */
export function spark(values, name, floor = 0) {
  const known = values.filter((value) => value !== null);
  const x = (/** @type {number} */ place) => EDGE + ((WIDTH - 2 * EDGE) * place) / Math.max(values.length - 1, 1);
  const y = (/** @type {number} */ value) => EDGE + (HEIGHT - 2 * EDGE) * Math.sqrt(Math.min(Math.max((1 - value) / (1 - floor), 0), 1));
  let path = "";
  let pen = "M";
  values.forEach((value, place) => {
    if (value === null) pen = "M";
    else {
      path += `${pen}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
  });
  const last = values.findLastIndex((value) => value !== null);
  const end = known.at(-1);
  const says = end === undefined ? `${name}: not known yet` : `${name}: ${measure(Math.min(...known))} to ${measure(Math.max(...known))}, now ${measure(end)}`;
  const drawn = svg("svg", { class: "spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": says });
  const title = svg("title", {});
  title.textContent = says;
  drawn.append(title, svg("path", { d: path }));
  if (end !== undefined) drawn.append(svg("circle", { cx: x(values.length === 1 ? 0 : last), cy: y(end), r: 2 }));
  return drawn;
}

/** @param {string} tag @param {Record<string, string | number>} attributes */
function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
