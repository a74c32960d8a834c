// The confusion matrix of the chosen window, its largest confusions, and the same numbers as a table.

/** @import {Confused, Counts, Figure, Loop, Meta, Normalise, Run, View} from "../types.d.ts" */
import * as api from "../api.js";
import { Chart } from "./chart.js";
import { segments } from "./controls.js";
import { fill, h } from "./element.js";
import { count, share, steps } from "./words.js";

const TABLE_CLASSES = 200;

/** @type {[Normalise, string][]} */
export const NORMALISE = [
  ["true", "of true"],
  ["predicted", "of predicted"],
  ["none", "counts"],
];

/** @param {Loop} loop */
export function matrix(loop) {
  const chart = new Chart("Confusion", "square", told);
  const normalise = segments("Share", NORMALISE, (value) => loop.go({ normalise: value }));
  chart.tools.append(normalise.element);
  const rows = h("tbody");
  const largest = h(
    "section",
    { class: "largest" },
    h("h3", {}, "Most confused"),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "true class, taken for"), h("th", { scope: "col", class: "n" }, "n"), h("th", { scope: "col", class: "n" }, "of true"))), rows),
  );
  const cells = h("div", { class: "cells", tabindex: "0", role: "region", "aria-label": "Confusion counts as a table" });
  const table = h("details", { class: "twin" }, h("summary", {}, "Counts as a table"), cells);
  const element = h("section", { class: "matrix panel" }, chart.element, largest, table);
  /** @type {View | null} */
  let view = null;
  /** @type {Run | null} */
  let run = null;
  /** @type {AbortController | null} */
  let asked = null;
  table.addEventListener("toggle", () => void tabulate());

  const query = () => ({ split: view?.split, from: view?.from, to: view?.to, epoch: view?.epoch, output: outputName(run, view), label: labelName(run, view) });

  /** @param {Figure} figure */
  function told({ layout: { meta } }) {
    chart.title.textContent = ["Confusion", labelName(run, view), named(meta)].filter(Boolean).join(", ");
    chart.note.textContent = meta.total ? `${count(meta.total)} predictions, ${count(meta.right ?? 0)} right. Click a cell to follow it over time.` : "";
    const confused = /** @type {Confused[]} */ (meta.largest ?? []);
    largest.hidden = meta.empty === true;
    const names = matrixNames(run, view);
    const label = labelIndex(run, view);
    const most = Math.max(...confused.map((one) => one.share), 0.0001);
    fill(
      rows,
      ...confused.slice(0, 8).map((one) => {
        const bar = h("i", { class: "ink" });
        bar.style.width = `${(100 * one.share) / most}%`;
        const names2 = [names[one.true] ?? `class ${one.true}`, names[one.predicted] ?? `class ${one.predicted}`];
        return h(
          "tr",
          {},
          h("td", {}, h("button", { type: "button", class: "bare pair", title: "Follow it over time", onclick: () => follow(one.true, one.predicted, label) }, h("span", {}, names2[0]), h("span", { class: "arrow" }, " → "), h("span", {}, names2[1]))),
          h("td", { class: "n" }, count(one.count)),
          h("td", { class: "n share" }, bar, h("span", {}, share(one.share))),
        );
      }),
      confused.length === 0 && h("tr", {}, h("td", { colspan: 3 }, "Nothing was confused here.")),
    );
    void tabulate();
  }

  /** @param {Meta} meta */
  function named(meta) {
    const split = view?.split ?? "train";
    if (typeof meta.from !== "number" || typeof meta.to !== "number") return split;
    const window = steps(meta.from, meta.to);
    if (view?.epoch) return split === "val" ? `after epoch ${view.epoch} (${split} ${window})` : `${split} epoch ${view.epoch} (${window})`;
    return `${split} ${window}`;
  }

  /** Follow a cell over time, with its classes in focus. @param {number} row @param {number} column @param {number | null} label */
  function follow(row, column, label) {
    loop.go({ cell: [row, column], focus: label !== null ? [label] : row === column ? [row] : [row, column] });
  }

  async function tabulate() {
    if (!table.open || !run) return;
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    try {
      const counts = await api.confusion(run.id, query(), signal);
      fill(cells, counts.class_names.length > TABLE_CLASSES ? h("p", {}, "Too many classes for a table on a page; the address /api/v1 has the numbers.") : grid(counts));
    } catch (error) {
      if (!signal.aborted) fill(cells, h("p", {}, error instanceof Error ? error.message : String(error)));
    }
  }

  return {
    element,
    /** @param {View} now @param {Run} of @param {boolean} news */
    show(now, of, news) {
      view = now;
      run = of;
      normalise.set(now.normalise);
      const asking = { run: of.id, ...query(), normalise: now.normalise, theme: loop.theme() };
      chart.show("confusion", asking, news, () => ({
        cell: now.cell,
        onCell: (row, column) => follow(row, column, labelIndex(of, now)),
      }));
    },
    /** @param {string} text */
    tell(text) {
      chart.tell(text);
      largest.hidden = true;
      table.hidden = true;
    },
    close() {
      asked?.abort();
      chart.close();
    },
  };
}

/** The output of a run that the view is of. @param {Run | null} run @param {View | null} view */
export function output(run, view) {
  return run?.outputs.find(({ name }) => name === view?.output) ?? run?.outputs[0];
}

/** The name to ask with: where a run has several outputs, one must be named. @param {Run | null} run @param {View | null} view */
export function outputName(run, view) {
  return run && run.outputs.length > 1 ? output(run, view)?.name : "";
}

/** The label whose 2x2 is shown, where samples may have several labels. @param {Run | null} run @param {View | null} view */
export function labelName(run, view) {
  const of = output(run, view);
  return of?.labels ? (of.class_names.find((name) => name === view?.label) ?? of.class_names[0] ?? "") : "";
}

/** The place of that label; null where an output has classes. @param {Run | null} run @param {View | null} view */
function labelIndex(run, view) {
  const of = output(run, view);
  return of?.labels ? of.class_names.indexOf(labelName(run, view)) : null;
}

/** The labels to choose among. @param {Run | null} run @param {View | null} view @returns {[string, string][]} */
export function labelOptions(run, view) {
  const of = output(run, view);
  return of?.labels ? of.class_names.map((name) => [name, name]) : [];
}

/** The names on both sides of the matrix. @param {Run | null} run @param {View | null} view */
export function matrixNames(run, view) {
  const of = output(run, view);
  return of?.labels ? ["no", "yes"] : (of?.class_names ?? []);
}

/** @param {Counts} counts */
function grid({ class_names, counts }) {
  return h(
    "table",
    {},
    h("caption", {}, "Rows are the true class, columns the predicted one."),
    h("thead", {}, h("tr", {}, h("td"), ...class_names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...class_names.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name), ...(counts[row] ?? []).map((value, column) => h("td", { class: row === column ? "right" : value ? "wrong" : "none" }, count(value)))))),
  );
}
