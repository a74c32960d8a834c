// Training against validation at the same weights: on which classes is the model surely better than it will be?

/** @import {Figure, Loop, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { fill, h } from "./element.js";
import { labelName, outputName } from "./matrix.js";
import { METRICS, count, steps } from "./words.js";

const ROW = 22; // pixels

/** @param {Loop} loop */
export function gap(loop) {
  const chart = new Chart("Training against validation", "gap", told);
  const element = h("section", { class: "panel gap-panel", hidden: true }, chart.element);
  /** @type {View} */
  let view = loop.view();

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    /** @type {HTMLElement} */ (chart.plot.parentElement).style.height = `${meta.empty ? 120 : (meta.rows?.length ?? 1) * ROW + 70}px`;
    const first = Number(meta.from);
    const last = Number(meta.to);
    const where = meta.empty ? "" : `${METRICS[view.metric]} after epoch ${count(Number(meta.epoch))}, against the last ${last - first === 1 ? "step" : `${count(last - first)} steps`} of its training, ${steps(first, last)}. `;
    const folded = meta.folded ? `${count(meta.folded)} classes more. ` : "";
    fill(chart.note, meta.empty ? "" : `${meta.summary} ${where}${folded}`, h("a", { class: "explained", href: "/stability.html#training-against-validation", target: "_blank", rel: "noopener" }, "How it is compared"));
  }

  return {
    element,
    /** @param {View} now @param {Run} run @param {boolean} news */
    show(now, run, news) {
      view = now;
      const trained = new Set(run.spans.filter(({ split }) => split === "train").map(({ epoch }) => epoch));
      const both = run.spans.filter((span) => span.split === "val" && trained.has(span.epoch)).map(({ epoch }) => epoch);
      element.hidden = both.length === 0;
      if (element.hidden) return;
      const epoch = now.epoch !== null && both.includes(now.epoch) ? now.epoch : null;
      chart.show("gap", { run: run.id, epoch, metric: now.metric, output: outputName(run, now), label: labelName(run, now), theme: loop.theme() }, news);
    },
    hide() {
      element.hidden = true;
    },
    close: () => chart.close(),
  };
}
