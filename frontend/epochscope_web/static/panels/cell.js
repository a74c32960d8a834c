// One cell of the matrix over time: how much of a class was taken for another, window by window.

/** @import {Hair} from "./hair.js" */
/** @import {Drawing, Figure, Loop, Meta, Run, View, Windows} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { h } from "./element.js";
import { labelName, matrixNames, outputName } from "./matrix.js";
import { covered, marks, windowsOf } from "./windows.js";
import { count, share } from "./words.js";

/** @param {Loop} loop @param {Hair} hair */
export function cell(loop, hair) {
  const chart = new Chart("One cell over time", "medium", told);
  hair.join(chart, () => ({ meta: drawn, run: of }));
  chart.tools.append(h("button", { type: "button", class: "quiet", onclick: () => loop.go({ cell: null }) }, "Close"));
  const element = h("div", { class: "panel cell-panel", hidden: true }, chart.element);
  /** @type {Windows | null} */
  let windows = null;
  /** @type {Meta | null} */
  let drawn = null;
  /** @type {Run | null} */
  let of = null;
  let shown = "";

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    drawn = meta;
    windows = windowsOf(meta);
    chart.note.textContent = meta.total ? `${count(meta.count ?? 0)} of ${count(meta.total)}, ${share((meta.count ?? 0) / meta.total)}, over the whole run. Drag to choose a window.` : "";
  }

  return {
    element,
    chart,
    /** @param {View} view @param {Run} run @param {boolean} news */
    show(view, run, news) {
      of = run;
      const names = matrixNames(run, view);
      const [row, column] = view.cell ?? [-1, -1];
      const [from, to] = [names[row], names[column]];
      element.hidden = from === undefined || to === undefined;
      if (from === undefined || to === undefined) {
        shown = "";
        return;
      }
      const label = labelName(run, view);
      chart.title.textContent = [label, row === column ? `${from} recognised` : `${from} taken for ${to}`].filter(Boolean).join(", ");
      const query = { run: run.id, true: from, predicted: to, split: view.split, by: view.by, width: view.by === "batch" ? view.width : null, output: outputName(run, view), label, theme: loop.theme() };
      chart.show("cell", query, news, () => drawing(view, run));
      const opened = `${row},${column}`;
      if (shown !== opened && shown !== "") element.scrollIntoView({ block: "nearest" });
      else if (shown === "") requestAnimationFrame(() => element.scrollIntoView({ block: "nearest" }));
      shown = opened;
    },
    hide() {
      element.hidden = true;
    },
    close: () => chart.close(),
  };

  /** @param {View} view @param {Run} run @returns {Drawing} */
  function drawing(view, run) {
    const { lines, window } = marks(windows, view, run);
    return {
      // The chart above names the epochs; here the words would lie on the line, which is mostly close to 0.
      marks: { lines: lines.map(({ at }) => ({ at, text: "", short: "" })), window },
      onPoint: (x) => hair.point(chart, x),
      onBrush: (range, done) => {
        const window = range && windows && covered(windows, range);
        if (window) loop.go({ from: window[0], to: window[1], epoch: null }, done ? "push" : "drag");
        else if (done) loop.go({ from: null, to: null, epoch: null });
      },
    };
  }
}
