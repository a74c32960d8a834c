// Runs that differ by their seeds, as one: mean and spread of each class, and whether two groups differ more than seeds do.

/** @import {Figure, Loop, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { fill, h } from "./element.js";
import { labelName, outputName } from "./matrix.js";
import { METRICS, count } from "./words.js";

const ROW = 30; // pixels of a class

/** @param {Loop} loop */
export function groups(loop) {
  const chart = new Chart("Mean and spread over seeds", "groups", told);
  const element = h("section", { class: "panel groups-panel" }, chart.element);
  let others = "";

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    /** @type {HTMLElement} */ (chart.plot.parentElement).style.height = `${meta.empty ? 120 : (meta.rows?.length ?? 1) * ROW + 90}px`;
    const folded = meta.folded ? ` ${count(meta.folded)} classes more.` : "";
    fill(chart.note, meta.empty ? "" : `${meta.summary}${folded}${others} `, h("a", { class: "explained", href: "/stability.html#runs-and-seeds", target: "_blank", rel: "noopener" }, "What seeds tell"));
  }

  return {
    element,
    /** @param {View} view @param {Run[]} runs those picked @param {boolean} news */
    show(view, runs, news) {
      const named = grouped(runs);
      const [first, second] = named;
      chart.title.textContent = `${METRICS[view.metric]}: mean and spread over seeds`;
      others = named.length > 2 ? ` Only the first two of ${count(named.length)} groups are shown.` : "";
      if (!first) return;
      const of = runs[0] ?? null;
      chart.show(
        "groups",
        {
          first: first.ids.join(","),
          second: second?.ids.join(","),
          first_name: first.name,
          second_name: second?.name,
          split: view.split,
          epoch: view.epoch,
          metric: view.metric,
          output: outputName(of, view),
          label: labelName(of, view),
          theme: loop.theme(),
        },
        news,
      );
    },
    /** @param {string} text */
    tell: (text) => chart.tell(text),
    close: () => chart.close(),
  };
}

/** The runs by the group that they were given, in the order in which groups come up; without any they are one. @param {Run[]} runs */
function grouped(runs) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const run of runs) found.set(run.group, [...(found.get(run.group) ?? []), run.id]);
  return [...found].map(([group, ids]) => ({ name: group || (found.size > 1 ? "no group" : "These runs"), ids }));
}
