// Two runs or more over each other: a class's curves, loss and metrics, and the signed difference of two matrices.

/** @import {By, Changed, Figure, Loop, Metric, Normalise, Page, Run, Split, View} from "../types.d.ts" */
import * as api from "../api.js";
import { Chart } from "./chart.js";
import { list, segments } from "./controls.js";
import { fill, h } from "./element.js";
import { focusChoice } from "./focus.js";
import { groups } from "./groups.js";
import { statusMark } from "./header.js";
import { NORMALISE, labelName, labelOptions, matrixNames, output, outputName } from "./matrix.js";
import { scalars } from "./scalars.js";
import { METRICS, change, changeOfCount, count, measure } from "./words.js";

/** @param {Loop} loop @returns {Page} */
export function comparePage(loop) {
  let view = loop.view();
  /** @type {Run[]} */
  let runs = [];
  let wanted = "";
  /** @type {AbortController | null} */
  let asked = null;
  let again = false;
  /** The revisions that are drawn. */
  let revs = "";
  let closed = false;

  const split = segments("Split", /** @type {[Split, string][]} */ ([["train", "train"], ["val", "val"]]), (value) => loop.go({ split: value, from: null, to: null }));
  const metric = segments("Metric", /** @type {[Metric, string][]} */ ([["f1", "F1"], ["recall", "recall"], ["precision", "precision"]]), (value) => loop.go({ metric: value }));
  const by = segments("By", /** @type {[By, string][]} */ ([["batch", "batch"], ["epoch", "epoch"]]), (value) => loop.go({ by: value }));
  const epoch = list("Matrices of epoch", (value) => loop.go({ epoch: value ? Number(value) : null, from: null, to: null }));
  const label = list("Label", (value) => loop.go({ label: value }));
  const controls = h("div", { class: "controls", role: "group", "aria-label": "What is shown" }, label.element, split.element, metric.element, by.element, epoch.element);
  const legend = h("ul", { class: "legend panel", "aria-label": "Runs compared" });

  const curves = new Chart("Classes", "large", curvesTold);
  const focus = focusChoice((chosen) => loop.go({ focus: chosen }), "worst class of the first run");
  curves.element.insertBefore(focus.element, curves.element.children[1] ?? null);
  const lines = scalars(loop);
  const seeds = groups(loop);
  const difference = new Chart("Difference of the matrices", "square", differenceTold);
  const first = list("From", (value) => pair(value, second.element.querySelector("select")?.value ?? ""));
  const second = list("to", (value) => pair(first.element.querySelector("select")?.value ?? "", value));
  const normalise = segments("Share", NORMALISE, (value) => loop.go({ normalise: /** @type {Normalise} */ (value) }));
  difference.tools.append(normalise.element);
  const key = h("p", { class: "key" });
  const rows = h("tbody");
  const changes = h("section", { class: "largest" }, h("h3", {}, "Largest differences"), h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "true class, taken for"), h("th", { scope: "col", class: "n" }, "n"), h("th", { scope: "col", class: "n" }, "difference"))), rows));
  const pairs = h("div", { class: "pairs" }, first.element, second.element);
  const matrices = h("section", { class: "panel matrix" }, pairs, difference.element, key, changes);
  const body = h("div", { class: "grid" }, h("div", { class: "panel wide" }, curves.element), matrices, h("div", { class: "panel low" }, lines.element), seeds.element);
  const trouble = h("div", { class: "trouble", role: "alert" });
  const element = h("article", { class: "compare-page" }, h("nav", { class: "crumbs" }, h("a", { href: loop.href({ page: "runs" }) }, "Runs")), h("h1", {}, "Compare"), trouble, legend, controls, body);
  for (const part of [legend, controls, body]) part.hidden = true;

  /** The two runs of the difference stand first in the view. @param {string} a @param {string} b */
  function pair(a, b) {
    if (a === b) [a, b] = [view.runs[1] ?? a, view.runs[0] ?? b];
    loop.go({ runs: [a, b, ...view.runs.filter((id) => id !== a && id !== b)] });
  }

  /** @param {Figure} figure */
  function curvesTold({ layout: { meta } }) {
    const names = [...new Set((meta.focus ?? []).map(({ name }) => name))];
    curves.title.textContent = `${METRICS[view.metric]} of ${names.join(", ") || "a class"}`;
    focus.set(output(runs[0] ?? null, view)?.class_names ?? [], view.focus, meta.focus ?? []);
  }

  /** @param {Figure} figure */
  function differenceTold({ layout: { meta } }) {
    const found = /** @type {Changed[]} */ (meta.largest ?? []);
    const names = matrixNames(runs[0] ?? null, view);
    const form = meta.unit === "predictions" ? changeOfCount : change;
    changes.hidden = key.hidden = meta.empty === true;
    fill(key, h("i", { class: "better", "aria-hidden": "true" }), "second run better", h("i", { class: "worse", "aria-hidden": "true" }), `second run worse. Numbers: second minus first, in ${meta.unit ?? "percentage points"}, where noise does not explain them.`);
    fill(
      rows,
      ...found.slice(0, 8).map((one) =>
        h(
          "tr",
          {},
          h("td", {}, names[one.true] ?? "", h("span", { class: "arrow" }, " → "), one.true === one.predicted ? h("em", {}, "recognised") : (names[one.predicted] ?? "")),
          h("td", { class: "n" }, `${count(one.a)} → ${count(one.b)}`),
          h("td", { class: `n ${one.better ? "better" : "worse"}` }, h("i", { "aria-hidden": "true" }, one.better ? "◆" : "▲"), ` ${form(one.difference)}`, h("span", { class: "unseen" }, one.better ? " better" : " worse")),
        ),
      ),
      found.length === 0 && h("tr", {}, h("td", { colspan: 3 }, "None beyond sampling noise.")),
    );
  }

  async function load() {
    if (view.runs.length < 2) {
      fill(trouble, h("p", {}, "Pick two runs or more to compare them."), h("a", { href: loop.href({ page: "runs" }) }, "Pick runs"));
      for (const part of [legend, controls, body]) part.hidden = true;
      return;
    }
    if (asked) {
      again = true;
      return;
    }
    asked = new AbortController();
    const { signal } = asked;
    try {
      runs = await Promise.all(view.runs.map((id) => api.run(id, signal)));
      if (closed) return;
      wanted = view.runs.join();
      trouble.replaceChildren();
      for (const part of [legend, controls, body]) part.hidden = false;
      document.title = `Compare ${runs.length} runs · epochscope`;
      const now = runs.map(({ rev }) => rev).join();
      const news = now !== revs;
      revs = now;
      render(news);
    } catch (error) {
      if (closed) return;
      fill(trouble, h("p", {}, error instanceof Error ? error.message : String(error)), h("button", { type: "button", onclick: () => void load() }, "Try again"), h("a", { href: loop.href({ page: "runs" }) }, "Pick other runs"));
      if (!(error instanceof api.ApiError) || error.status === 0 || error.status >= 500) setTimeout(() => !closed && void load(), 4000);
    }
    asked = null;
    if (again) {
      again = false;
      void load();
    }
  }

  /** @param {boolean} news whether there may be new numbers, not only another view */
  function render(news) {
    const ids = view.runs.join(",");
    fill(legend, ...runs.map((run, place) => h("li", {}, h("i", { class: `line run-${place % 10}`, "aria-hidden": "true" }), h("a", { href: loop.href({ page: "run", run: run.id, runs: [] }) }, run.name), h("span", { class: "project" }, run.project), statusMark(run), h("span", { class: "note" }, `val macro F1 ${measure(run.summary["val_macro_f1"])}`))));
    split.set(view.split, /** @type {Split[]} */ (["train", "val"]).filter((one) => runs.some((run) => run.splits.includes(one))));
    metric.set(view.metric);
    by.set(view.by);
    normalise.set(view.normalise);
    const both = runs.slice(0, 2).map((run) => run.spans.filter((span) => span.split === view.split).map((span) => span.epoch));
    const epochs = (both[0] ?? []).filter((one) => both[1]?.includes(one));
    epoch.set(view.epoch ? String(view.epoch) : "", [["", "all"], ...epochs.map((one) => /** @type {[string, string]} */ ([String(one), String(one)]))]);
    label.set(labelName(runs[0] ?? null, view), labelOptions(runs[0] ?? null, view));
    const options = runs.map((run) => /** @type {[string, string]} */ ([run.id, run.name]));
    first.set(view.runs[0] ?? "", options);
    second.set(view.runs[1] ?? "", options);
    lines.show(view, runs, news);
    if (runs.some((run) => !run.outputs.length)) {
      const missing = runs.find((run) => !run.outputs.length)?.name ?? "";
      curves.tell(`${missing} has no confusion counts.`);
      difference.tell(`${missing} has no confusion counts.`);
      seeds.tell(`${missing} has no confusion counts.`);
      changes.hidden = key.hidden = true;
      return;
    }
    seeds.show(view, runs, news);
    const named = outputName(runs[0] ?? null, view);
    const query = { runs: ids, split: view.split, metric: view.metric, by: view.by, focus: view.focus?.join(","), output: named, theme: loop.theme() };
    curves.note.textContent = view.by === "epoch" ? `${view.split}, epoch by epoch` : `${view.split}, 95 % bands`;
    curves.show("classes", query, news);
    const matrices = { runs: view.runs.slice(0, 2).join(","), split: view.split, epoch: view.epoch, from: view.from, to: view.to, normalise: view.normalise, output: named, label: labelName(runs[0] ?? null, view), theme: loop.theme() };
    difference.note.textContent = `${view.split}, ${view.epoch ? `epoch ${view.epoch}` : "whole runs"}`;
    difference.show("compare", matrices, news);
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      view = now;
      if (runs.length && wanted === now.runs.join()) render(false);
      else void load();
    },
    refresh: () => void load(),
    /** @param {string} about */
    concerns: (about) => view.runs.includes(about),
    close() {
      closed = true;
      asked?.abort();
      curves.close();
      difference.close();
      seeds.close();
      lines.close();
    },
  };
}
