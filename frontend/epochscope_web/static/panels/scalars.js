// Loss, one chosen metric and the learning rate: three small charts, for one run or several over each other.

/** @import {By, Loop, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { list } from "./controls.js";
import { h } from "./element.js";

const RATE = /^(learning_rate|lr)$/;
const PER_CLASS = /^(f1|recall|precision)\//; // the curves of classes show these, with their intervals

/** @param {Loop} loop */
export function scalars(loop) {
  const loss = new Chart("Loss", "small");
  const metric = new Chart("Metric", "small");
  const rate = new Chart("Learning rate", "small");
  const choice = list("Metric", (key) => loop.go({ key }));
  metric.tools.append(choice.element);
  const element = h("div", { class: "scalars" }, loss.element, metric.element, rate.element);

  return {
    element,
    /** @param {View} view @param {Run[]} runs those shown; one, or several over each other @param {boolean} news */
    show(view, runs, news) {
      const there = new Set(runs.flatMap((run) => run.series.filter((series) => series.by !== "run").map(({ key }) => key)));
      const rates = [...there].filter((key) => RATE.test(key));
      const family = (/** @type {string} */ key) => Number(key.includes("/")); // system/cpu and the like come last
      const metrics = [...there].filter((key) => key !== "loss" && !RATE.test(key) && !PER_CLASS.test(key)).sort((a, b) => family(a) - family(b));
      const key = metrics.includes(view.key) ? view.key : (metrics.find((name) => /accuracy/.test(name)) ?? metrics[0]);
      choice.set(key ?? "", metrics.map((name) => [name, name]));
      metric.title.textContent = key ?? "Metric";
      /** @param {Chart} chart @param {string | undefined} name @param {string} missing */
      const show = (chart, name, missing) => {
        if (!name) {
          chart.tell(missing);
          return;
        }
        const splits = name === rates[0] ? "train" : "train,val";
        const query = {
          ...(runs.length > 1 || view.page === "compare" ? { runs: runs.map(({ id }) => id).join(",") } : { run: runs[0]?.id }),
          keys: name,
          split: splits,
          by: recorded(runs, name, view.by),
          smooth: view.by === "batch" && name !== rates[0] ? view.smooth : 0,
          theme: loop.theme(),
        };
        chart.show("series", query, news, () => ({ legend: runs.length === 1 }));
        chart.note.textContent = runs.length > 1 && splits !== "train" ? "solid train, dashed val" : "";
      };
      show(loss, there.has("loss") ? "loss" : undefined, "No loss recorded yet.");
      show(metric, key, "No metric recorded yet.");
      show(rate, rates[0], "No learning rate recorded yet.");
      rate.element.hidden = rates.length === 0;
    },
    close() {
      for (const chart of [loss, metric, rate]) chart.close();
    },
  };
}

/** By what a series is shown: as the view says where it was recorded so, else as it was. @param {Run[]} runs @param {string} key @param {By} wanted @returns {By} */
function recorded(runs, key, wanted) {
  const there = new Set(runs.flatMap((run) => run.series.filter((series) => series.key === key).map(({ by }) => by)));
  return there.has(wanted) ? wanted : wanted === "batch" ? "epoch" : "batch";
}
