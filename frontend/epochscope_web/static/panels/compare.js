// Two runs or more over each other, or two windows of one: results and params, curves, scalars, what differs.

/** @import {By, Figure, Loop, Meta, Metric, Page, Run, Split, View} from "../types.d.ts" */
import * as api from "../api.js";
import { Chart } from "./chart.js";
import { list, segments } from "./controls.js";
import { difference } from "./difference.js";
import { fill, h } from "./element.js";
import { focusChoice } from "./focus.js";
import { colours, groupNames, groups } from "./groups.js";
import { Hair } from "./hair.js";
import { statusMark } from "./header.js";
import { labelName, labelOptions, output, outputName } from "./matrix.js";
import { params } from "./params.js";
import { results } from "./results.js";
import { AXES, scalars } from "./scalars.js";
import { METRICS, count, measure } from "./words.js";

const IN_FRONT = 8; // runs drawn over each other; more could not be told apart
const IN_GROUPS = 32; // runs drawn as the means of their groups

/** @param {Loop} loop @returns {Page} */
export function comparePage(loop) {
  let view = loop.view();
  /** Those drawn over each other. @type {Run[]} */
  let runs = [];
  let wanted = "";
  /** What the curves of classes say of themselves. @type {Meta | null} */
  let drawn = null;
  /** @type {AbortController | null} */
  let asked = null;
  let again = false;
  /** The revisions that are drawn. */
  let revs = "";
  let closed = false;

  const split = segments("Split", /** @type {[Split, string][]} */ ([["train", "train"], ["val", "val"]]), (value) => loop.go({ split: value, from: null, to: null, second: null }));
  const metric = segments("Metric", /** @type {[Metric, string][]} */ ([["f1", "F1"], ["recall", "recall"], ["precision", "precision"]]), (value) => loop.go({ metric: value }));
  const by = segments("By", /** @type {[By, string][]} */ ([["batch", "batch"], ["epoch", "epoch"]]), (value) => loop.go({ by: value }));
  const x = list("x axis", (value) => loop.go({ x: /** @type {View["x"]} */ (value) }));
  const seeds = segments("Seeds", /** @type {[View["seeds"], string][]} */ ([["apart", "each run"], ["together", "mean and spread"]]), (value) => loop.go({ seeds: value }));
  const label = list("Label", (value) => loop.go({ label: value }));
  const controls = h("div", { class: "controls", role: "group", "aria-label": "What is shown" }, label.element, split.element, metric.element, by.element, x.element, seeds.element);
  const legend = h("ul", { class: "legend panel", "aria-label": "Runs compared" });
  const more = h("p", { class: "note" });

  const hair = new Hair();
  const curves = new Chart("Classes", "large", curvesTold);
  hair.join(curves, () => ({ meta: drawn, run: runs[0] ?? null }));
  const focus = focusChoice((chosen) => loop.go({ focus: chosen }), "worst class of the first run");
  curves.element.insertBefore(focus.element, curves.element.children[1] ?? null);
  const table = results(loop);
  const lines = scalars(loop, hair);
  const atEnd = groups(loop);
  const apart = difference(loop);
  const made = params();
  const wide = h("div", { class: "panel wide" }, curves.element);
  const body = h("div", { class: "grid" }, table.element, wide, apart.matrix, apart.classes, h("div", { class: "panel low" }, lines.element), atEnd.element, made.element);
  const trouble = h("div", { class: "trouble", role: "alert" });
  const element = h("article", { class: "compare-page" }, h("nav", { class: "crumbs" }, h("a", { href: loop.href({ page: "runs" }) }, "Runs")), h("h1", {}, "Compare"), trouble, legend, more, controls, body);
  for (const part of [legend, controls, body]) part.hidden = true;

  /** @param {Figure} figure */
  function curvesTold({ layout: { meta } }) {
    drawn = meta;
    const names = [...new Set((meta.focus ?? []).map(({ name }) => name))];
    curves.title.textContent = `${METRICS[view.metric]} of ${names.join(", ") || "a class"}`;
    focus.set(output(runs[0] ?? null, view)?.class_names ?? [], view.focus, meta.focus ?? []);
    const passes = view.by === "epoch" || (view.x !== "" && view.split !== "train");
    const bands = view.seeds === "together" && runs.length > 1 ? [] : passes ? [] : ["95 % bands"];
    curves.note.textContent = [[view.split, ...(passes ? ["epoch by epoch"] : bands)].join(", "), ...(meta.notes ?? [])].join(". ").replace(/\.$/, "");
  }

  const most = () => (view.seeds === "together" ? IN_GROUPS : IN_FRONT);

  async function load() {
    if (view.runs.length < 1) {
      fill(trouble, h("p", {}, "Pick two runs or more to compare them; one, to compare two windows of it."), h("a", { href: loop.href({ page: "runs" }) }, "Pick runs"));
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
      const front = view.runs.slice(0, most());
      runs = await Promise.all(front.map((id) => api.run(id, signal)));
      if (closed) return;
      wanted = front.join();
      trouble.replaceChildren();
      for (const part of [legend, controls, body]) part.hidden = false;
      document.title = `Compare ${count(view.runs.length)} ${view.runs.length === 1 ? "run" : "runs"} · epochscope`;
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

  /** One run of the legend: its colour, its state, and what can be done with it here. @param {Run} run @param {number} place */
  function item(run, place) {
    const based = run.id === view.baseline;
    return h(
      "li",
      {},
      h("i", { class: `line run-${place % 10}`, "aria-hidden": "true" }),
      h("a", { href: loop.href({ page: "run", run: run.id, runs: [] }) }, run.name),
      h("span", { class: "project" }, run.project),
      statusMark(run),
      h("span", { class: "note" }, `val macro F1 ${measure(run.summary["val_macro_f1"])}`),
      runs.length > 1 && h("button", { type: "button", class: "bare", "aria-pressed": based, title: based ? "Show all runs as they are" : "Show the others as their difference to this run", onclick: () => loop.go({ baseline: based ? "" : run.id }) }, based ? "baseline ×" : "as baseline"),
      runs.length > 1 && h("a", { href: loop.href({ page: "compare", runs: [run.id], split: view.split }) }, "its own windows"),
    );
  }

  /** A group in the legend: its colour, and its runs. @param {string} name @param {number} place */
  function group(name, place) {
    const names = groupNames(runs);
    const own = runs.filter((_, at) => names[at] === name);
    return h(
      "li",
      {},
      h("i", { class: `line run-${place % 10}`, "aria-hidden": "true" }),
      h("b", {}, name),
      h("span", { class: "note" }, own.length === 1 ? "one run" : `${count(own.length)} runs: `, ...(own.length === 1 ? [] : own.flatMap((run, at) => [at > 0 && ", ", h("a", { href: loop.href({ page: "run", run: run.id, runs: [], seeds: "apart" }) }, run.name)]))),
    );
  }

  /** @param {boolean} news whether there may be new numbers, not only another view */
  function render(news) {
    const ids = runs.map(({ id }) => id).join(",");
    const alone = runs.length === 1;
    const together = view.seeds === "together" && !alone;
    const named = [...new Set(groupNames(runs))];
    fill(legend, ...(together ? named.map(group) : runs.map(item)));
    more.hidden = view.runs.length <= runs.length;
    more.textContent = `The first ${runs.length} of ${count(view.runs.length)} runs are drawn ${together ? "as the means of their groups" : "over each other"}; params and results are of all of them.`;
    split.set(view.split, /** @type {Split[]} */ (["train", "val"]).filter((one) => runs.some((run) => run.splits.includes(one))));
    metric.set(view.metric);
    by.set(view.by);
    label.set(labelName(runs[0] ?? null, view), labelOptions(runs[0] ?? null, view));
    table.show(view, runs, news);
    made.show(runs, colours(runs, view));
    lines.show(view, runs, news);
    seeds.element.hidden = alone || named.length === runs.length;
    seeds.set(view.seeds);
    x.set(view.x, AXES);
    atEnd.element.hidden = alone;
    if (runs.some((run) => !run.outputs.length)) {
      const missing = runs.find((run) => !run.outputs.length)?.name ?? "";
      curves.tell(`${missing} has no confusion counts.`);
      apart.tell(`${missing} has no confusion counts.`);
      atEnd.tell(`${missing} has no confusion counts.`);
      return;
    }
    if (!alone) atEnd.show(view, runs, news);
    const query = { runs: ids, group: together ? groupNames(runs) : null, x: view.x, split: view.split, metric: view.metric, by: view.by, focus: view.focus?.join(","), output: outputName(runs[0] ?? null, view), theme: loop.theme() };
    curves.show("classes", query, news, () => ({ onPoint: (at) => hair.point(curves, at) }));
    apart.show(view, runs, news);
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      view = now;
      if (runs.length && wanted === now.runs.slice(0, most()).join()) render(false);
      else void load();
    },
    refresh: () => void load(),
    /** @param {string} about */
    concerns: (about) => view.runs.includes(about),
    close() {
      closed = true;
      asked?.abort();
      curves.close();
      table.close();
      apart.close();
      atEnd.close();
      lines.close();
    },
  };
}
