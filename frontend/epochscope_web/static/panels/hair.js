// One hairline over several charts: where the pointer is in one of them, the others show what their lines are there.

/** @import {Chart} from "./chart.js" */
import { crossed } from "../draw.js";
import { fill, h } from "./element.js";
import { measure } from "./words.js";

/** Charts that stand on the same axis. */
export class Hair {
  constructor() {
    /** @type {{ chart: Chart, line: HTMLElement, told: HTMLElement }[]} */
    this.charts = [];
  }

  /** @param {Chart} chart */
  join(chart) {
    const line = h("div", { class: "hair", "aria-hidden": "true", hidden: true });
    const told = h("div", { class: "hair-says", "aria-hidden": "true", hidden: true });
    chart.plot.parentElement?.append(line, told);
    this.charts.push({ chart, line, told });
  }

  /** The pointer is at `x` in one of the charts, or in none. @param {Chart} of @param {number | null} x */
  point(of, x) {
    for (const { chart, line, told } of this.charts) {
      const found = crossed(chart.plot, x);
      line.hidden = found === null;
      told.hidden = found === null || chart === of || found.values.length === 0;
      if (!found) continue;
      Object.assign(line.style, { left: `${found.left}px`, top: `${found.top}px`, height: `${found.height}px` });
      if (told.hidden) continue;
      fill(told, ...found.values.slice(0, 8).map(({ value, colour }) => coloured(measure(value), colour)));
      const wide = chart.plot.clientWidth;
      const right = found.left > wide / 2;
      Object.assign(told.style, { top: `${found.top}px`, left: right ? "" : `${found.left + 4}px`, right: right ? `${wide - found.left + 4}px` : "" });
    }
  }
}

/** @param {string} text @param {string} colour */
function coloured(text, colour) {
  const element = h("b", {}, text);
  element.style.color = colour;
  return element;
}
