// One hairline over several charts: where the pointer is in one of them, the others show what their lines are there.

/** @import {Chart} from "./chart.js" */
/** @import {Meta, Run} from "../types.d.ts" */
import { crossed } from "../draw.js";
import { fill, h } from "./element.js";
import { between } from "./stretch.js";
import { measure } from "./words.js";

/** What a chart's axis is known by: the figure's word, and the run that tells where its epochs end. @typedef {{ meta: Meta | null, run: Run | null }} Axis */

/** Charts over one training, each on an axis of its own. */
export class Hair {
  constructor() {
    /** @type {{ chart: Chart, axis: () => Axis, line: HTMLElement, told: HTMLElement }[]} */
    this.charts = [];
  }

  /** @param {Chart} chart @param {() => Axis} axis as it is drawn now */
  join(chart, axis) {
    const line = h("div", { class: "hair", "aria-hidden": "true", hidden: true });
    const told = h("div", { class: "hair-says", "aria-hidden": "true", hidden: true });
    chart.plot.parentElement?.append(line, told);
    this.charts.push({ chart, axis, line, told });
  }

  /** The pointer is at `x` in one of the charts, or in none. @param {Chart} of @param {number | null} x */
  point(of, x) {
    const from = this.charts.find(({ chart }) => chart === of)?.axis();
    for (const { chart, axis, line, told } of this.charts) {
      const to = axis();
      const found = from && x !== null && !chart.plot.classList.contains("covered") ? crossed(chart.plot, moved(x, from, to)) : null;
      line.hidden = found === null;
      const chosen = to.meta?.focus?.map(({ index }) => index);
      const values = found?.values.filter(({ of: one }) => !chosen || (one !== undefined && chosen.includes(one))) ?? [];
      told.hidden = found === null || chart === of || values.length === 0;
      if (!found) continue;
      Object.assign(line.style, { left: `${found.left}px`, top: `${found.top}px`, height: `${found.height}px` });
      if (told.hidden) continue;
      fill(told, ...values.slice(0, 8).map(({ value, colour }) => coloured(measure(value), colour)));
      const wide = chart.plot.clientWidth;
      const right = found.left > wide / 2;
      Object.assign(told.style, { top: `${found.top}px`, left: right ? "" : `${found.left + 4}px`, right: right ? `${wide - found.left + 4}px` : "" });
    }
  }
}

/** Where a place of one axis stands on another; null: nobody knows. @param {number} x @param {Axis} from @param {Axis} to */
function moved(x, from, to) {
  const [one, other] = [from.meta, to.meta];
  if (!one || !other) return null;
  const alike = one.x === other.x && (one.scaled ?? 1) === (other.scaled ?? 1) && Boolean(one.own) === Boolean(other.own);
  if (alike && (!one.own || one.split === other.split)) return x;
  const [known, wanted] = [places(from), places(to)];
  return known && wanted ? between(wanted.step, wanted.x, between(known.x, known.step, x)) : null;
}

/** Which steps of training places of an axis stand for; null where they count something else. @param {Axis} axis @returns {{ step: number[], x: number[] } | null} */
function places({ meta, run }) {
  if (!meta || meta.own) return null;
  if (meta.places) return meta.places;
  const last = run?.steps.train ?? 0;
  if (meta.x === "step") return { step: [0, last], x: [0, last] };
  const spans = meta.x === "epoch" ? (run?.spans ?? []).filter(({ split, to }) => split === "train" && to > 0) : [];
  return spans.length ? { step: spans.flatMap(({ from, to }) => [from - 1, to - 1]), x: spans.flatMap(({ epoch }) => [epoch - 1, epoch]) } : null;
}

/** @param {string} text @param {string} colour */
function coloured(text, colour) {
  const element = h("b", {}, text);
  element.style.color = colour;
  return element;
}
