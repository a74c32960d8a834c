// The page of one run: its classes over time, the confusion matrix of the chosen window, loss and metrics.

/** @import {Loop, Metric, Page, Run, Split, View} from "../types.d.ts" */
import * as api from "../api.js";
import { alerts } from "./alerts.js";
import { cell } from "./cell.js";
import { chosen, classes } from "./classes.js";
import { list, segments } from "./controls.js";
import { fill, h } from "./element.js";
import { gap } from "./gap.js";
import { Hair } from "./hair.js";
import { runHeader } from "./header.js";
import { kept } from "./kept.js";
import { output as chosenOutput, labelName, labelOptions, matrix } from "./matrix.js";
import { oneClass } from "./one-class.js";
import { scalars } from "./scalars.js";
import { stability } from "./stability.js";
import { goesOn } from "./words.js";

const WIDTHS = [1, 5, 25, 100, 500];
/** @type {[Metric, string][]} */
const METRIC_WORDS = [["f1", "F1"], ["recall", "recall"], ["precision", "precision"]];

/** @param {Loop} loop @returns {Page} */
export function runPage(loop) {
  const id = loop.view().run;
  const head = runHeader(loop, () => void load());
  const keeping = kept();
  const found = alerts(loop);
  const hair = new Hair();
  const curves = classes(loop, hair);
  const confusion = matrix(loop);
  const followed = cell(loop, hair);
  const lines = scalars(loop, hair);
  const steady = stability(loop);
  const apart = gap(loop);
  const single = oneClass(loop);
  curves.after(followed.chart); // a cell that was clicked is looked at before its classes in focus

  const split = segments("Split", /** @type {[Split, string][]} */ ([["train", "train"], ["val", "val"], ["test", "test"]]), (value) => loop.go({ split: value, from: null, to: null }));
  const metric = segments("Metric", METRIC_WORDS, (value) => loop.go({ metric: value }));
  const by = segments("By", [["batch", "batch"], ["epoch", "epoch"]], (value) => loop.go({ by: value }));
  const width = list("Window", (value) => loop.go({ width: value === "auto" ? null : Number(value) }));
  const output = list("Output", (value) => loop.go({ output: value, label: "", focus: null, cell: null, class: null, find: "" }));
  const label = list("Label", (value) => loop.go({ label: value, ...(view.class === null ? {} : { class: Math.max(0, chosenOutput(run, view)?.class_names.indexOf(value) ?? 0) }) }));
  const from = h("input", { type: "number", min: 1, inputmode: "numeric", "aria-label": "First step of the window", placeholder: "first", onchange: window });
  const to = h("input", { type: "number", min: 1, inputmode: "numeric", "aria-label": "Last step of the window", placeholder: "last", onchange: window });
  const whole = h("button", { type: "button", class: "quiet", onclick: () => loop.go({ from: null, to: null, epoch: null }) }, "Whole run");
  const steps = h("fieldset", { class: "steps" }, h("legend", {}, "Matrix window, steps"), h("div", {}, from, h("span", {}, "to"), to, whole));
  const epoch = list("Matrix of epoch", (value) => loop.go({ epoch: value ? Number(value) : null, from: null, to: null }));
  const controls = h("div", { class: "controls", role: "group", "aria-label": "What is shown" }, output.element, label.element, split.element, metric.element, by.element, width.element, epoch.element, steps);
  const wide = h("div", { class: "panel wide" }, curves.element);
  const body = h("div", { class: "grid" }, wide, confusion.element, followed.element, h("div", { class: "panel low" }, lines.element), steady.element, apart.element);
  const trouble = h("div", { class: "trouble", role: "alert" });
  const early = h("h1", { class: "unseen" }, "A run"); // until its name is known
  const element = h("article", { class: "run-page" }, h("nav", { class: "crumbs" }, h("a", { href: loop.href({ page: "runs" }) }, "Runs")), early, trouble, head.element, keeping.element, found.element, controls, single.element, body);
  for (const part of [head.element, controls, single.element, body]) part.hidden = true;

  /** @type {Run | null} */
  let run = null;
  /** @type {AbortController | null} */
  let asked = null;
  let again = false;
  /** The revision that is drawn. */
  let rev = -1;
  let closed = false;
  /** @type {View} */
  let view = loop.view();
  /** Whether the matrix that is drawn can't change any more. */
  let settled = "";

  function window() {
    const first = from.value === "" ? null : Math.max(1, Math.round(Number(from.value)));
    const last = to.value === "" ? null : Math.max(1, Math.round(Number(to.value)));
    if (first !== null && last !== null && last < first) {
      to.setCustomValidity("The last step comes before the first.");
      to.reportValidity();
      return;
    }
    to.setCustomValidity("");
    loop.go({ from: first, to: last === null ? null : last + 1, epoch: null });
  }

  async function load() {
    if (asked) {
      again = true;
      return;
    }
    asked = new AbortController();
    try {
      run = await api.run(id, asked.signal);
      if (closed) return;
      trouble.replaceChildren();
      head.element.hidden = false;
      early.hidden = true;
      head.set(run);
      void keeping.refresh(run.project);
      found.show(run);
      const news = run.rev !== rev;
      rev = run.rev;
      render(news);
    } catch (error) {
      if (closed) return;
      const text = error instanceof Error ? error.message : String(error);
      fill(trouble, h("p", {}, run ? `${text} What you see is from before.` : text), h("button", { type: "button", onclick: () => void load() }, "Try again"), !run && h("a", { href: loop.href({ page: "runs" }) }, "All runs"));
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
    if (!run) return;
    setControls(run);
    const byItself = view.class !== null;
    controls.hidden = false;
    single.element.hidden = !byItself;
    body.hidden = byItself;
    found.element.classList.toggle("aside", byItself);
    metric.element.hidden = byItself;
    if (byItself) {
      single.show(view, run, news);
      return;
    }
    document.title = `${run.name} · epochscope`;
    const waiting = !run.outputs.length && goesOn(run.status) && !run.steps.train;
    // Without classes there is nothing for these to show; the head says why.
    const alone = !run.outputs.length && !waiting;
    for (const part of [controls, wide, confusion.element, steady.element]) part.hidden = alone;
    body.classList.toggle("alone", alone);
    if (alone || waiting) {
      followed.hide();
      apart.hide();
      lines.show(view, [run], news);
    }
    if (alone) return;
    if (waiting) {
      curves.tell("Waiting for the first batch.");
      confusion.tell("Waiting for the first batch.");
      steady.tell("Waiting for the first batch.");
      return;
    }
    // What the reader acted on is asked for first: the matrix of a window, then a cell that is followed.
    const key = JSON.stringify([view.split, view.from, view.to, view.epoch, view.output, view.label, view.normalise, loop.theme()]);
    confusion.show(view, run, news && settled !== key);
    settled = isSettled(run, view) ? key : "";
    followed.show(view, run, news);
    curves.show(view, run, news);
    lines.show(view, [run], news);
    steady.show(view, run, news);
    apart.show(view, run, news);
  }

  /** The class beside the one that has the page, or beside the one in focus. @param {Run} of @param {number} far */
  function beside(of, far) {
    if (view.class !== null) {
      single.step(far);
      return;
    }
    const classes = chosenOutput(of, view)?.class_names.length ?? 0;
    if (classes) loop.go({ focus: [((view.focus?.[0] ?? (far > 0 ? -1 : 0)) + far + classes) % classes] }, "replace");
  }

  /** Move the window by its own length, or to the epoch beside it. @param {Run} of @param {number} far */
  function move(of, far) {
    const last = of.steps[view.split] ?? 0;
    if (view.epoch !== null) {
      const epochs = of.spans.filter((span) => span.split === view.split).map((span) => span.epoch);
      const next = epochs[epochs.indexOf(view.epoch) + far];
      if (next !== undefined) loop.go({ epoch: next });
    } else if (view.from !== null || view.to !== null) {
      const from = view.from ?? 1;
      const length = Math.min(view.to ?? last + 1, last + 1) - from;
      const first = Math.max(1, Math.min(from + far * length, last + 1 - length));
      if (length > 0) loop.go({ from: first, to: first + length });
    }
  }

  /** @param {Run} of */
  function setControls(of) {
    split.set(view.split, of.splits.length ? of.splits : ["train"]);
    /** @type {HTMLElement | null} */ (split.element.querySelector('label:has(input[value="test"])'))?.toggleAttribute("hidden", !of.splits.includes("test"));
    metric.set(view.metric);
    by.set(view.by);
    const widths = view.width !== null && !WIDTHS.includes(view.width) ? [...WIDTHS, view.width].sort((a, b) => a - b) : WIDTHS;
    width.set(view.width === null ? "auto" : String(view.width), [["auto", "auto"], ...widths.map((steps) => /** @type {[string, string]} */ ([String(steps), steps === 1 ? "1 step" : `${steps} steps`]))]);
    width.element.hidden = view.by === "epoch";
    output.set(view.output || (of.outputs[0]?.name ?? ""), of.outputs.map(({ name }) => [name, name]));
    label.set(labelName(of, view), labelOptions(of, view));
    const epochs = of.spans.filter((span) => span.split === view.split).map((span) => span.epoch);
    if (view.epoch && !epochs.includes(view.epoch)) epochs.push(view.epoch);
    epoch.set(view.epoch ? String(view.epoch) : "", [["", chosen({ ...view, epoch: null }) === "whole run" ? "all" : "–"], ...epochs.map((one) => /** @type {[string, string]} */ ([String(one), String(one)]))]);
    if (document.activeElement !== from) from.value = view.from === null ? "" : String(view.from);
    if (document.activeElement !== to) to.value = view.to === null ? "" : String(view.to - 1);
    whole.style.visibility = view.from === null && view.to === null && view.epoch === null ? "hidden" : "visible"; // its place stays
    for (const input of [from, to]) input.max = String(of.steps[view.split] ?? 1);
  }

  const page = {
    element,
    /** @param {View} now */
    show(now) {
      view = now;
      if (run) render(false);
      else void load();
    },
    refresh: () => void load(),
    /** @param {string} action */
    act(action) {
      if (!run) return false;
      if (action === "next" || action === "previous") beside(run, action === "next" ? 1 : -1);
      else if (action === "earlier" || action === "later") move(run, action === "later" ? 1 : -1);
      else if (action === "table" && view.class === null) confusion.table();
      else if (action === "about") loop.go({ page: "about" });
      else if (action === "compare") loop.go({ page: "runs", run: "", runs: [id] });
      else if (action === "search" && view.class === null) return curves.choose();
      else return false;
      return true;
    },
    /** @param {string} about */
    concerns: (about) => about === id,
    close() {
      closed = true;
      asked?.abort();
      found.close();
      curves.close();
      confusion.close();
      followed.close();
      lines.close();
      steady.close();
      apart.close();
      single.close();
    },
  };
  return page;
}

/** Whether no further batch can change the matrix of the view's window. @param {Run} run @param {View} view */
function isSettled(run, view) {
  const seen = run.steps[view.split] ?? 0;
  if (view.epoch) return run.spans.some((span) => span.split === view.split && span.epoch > (view.epoch ?? 0));
  return view.to !== null && view.to <= seen;
}
