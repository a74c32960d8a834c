// A chart as a picture that says what it is.

/** @import {Drawing} from "../types.d.ts" */
import { asShapes } from "./marks.js";
import { library } from "./plotly.js";

/**
 * What a box shows as a picture: a data URL.
 * @param {HTMLElement} box
 * @param {Drawing} drawing what the page marks in it
 * @param {"png" | "svg"} format
 * @param {string} title
 * @param {string} says one sentence below the title
 */
export async function pictured(box, drawing, format, title, says) {
  const plotly = await library();
  const { data, layout } = /** @type {{ data: object[], layout: Record<string, any> }} */ (/** @type {unknown} */ (box));
  const style = getComputedStyle(box);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const width = Math.max(box.clientWidth, 480);
  const lines = wrapped(says, Math.floor(width / 6.5));
  const top = 46 + 16 * lines.length;
  const { shapes, annotations } = asShapes(box, drawing);
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
    shapes: [...(layout["shapes"] ?? []), ...shapes],
    annotations: [...(layout["annotations"] ?? []), ...annotations],
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
