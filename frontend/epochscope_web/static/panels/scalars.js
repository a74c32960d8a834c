// Scalar series as small charts: what is shown of them, over which axis, how smooth; for one run or several over each other.

/** @import {Hair} from "./hair.js" */
/** @import {By, Drawing, Loop, Meta, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { list, popover } from "./controls.js";
import { fill, h } from "./element.js";
import { groupNames } from "./groups.js";
import { chosenSteps, places, trained, windowOf } from "./stretch.js";

const RATE = /^(learning_rate|lr)$/;
const PER_CLASS = /^(f1|recall|precision)\//; // the curves of classes show these, with their intervals
const MOST = 24; // charts
const WEIGHTS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];
const WIDTHS = [2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500];
/** @type {[View["x"], string][]} */
export const AXES = [["", "automatic"], ["step", "step"], ["epoch", "epoch"], ["samples", "samples seen"], ["time", "time"]];
/** @type {[View["of"], string][]} */
const OF = [["", "train and val"], ["train", "train"], ["val", "val"], ["test", "test"]];

/** @param {Loop} loop @param {Hair} hair over these charts and others */
export function scalars(loop, hair) {
  /** @type {Map<string, { chart: Chart, meta: Meta | null }>} */
  const charts = new Map();
  const x = list("x axis", (value) => loop.go({ x: /** @type {View["x"]} */ (value) }));
  const of = list("Split", (value) => loop.go({ of: /** @type {View["of"]} */ (value) }));
  const smoothing = list("Smoothing", (value) => loop.go({ smooth: value === "average" ? 0.9 : 0, sliding: value === "sliding" ? 25 : 1 }));
  const strength = h("input", { type: "range", min: 0, max: WEIGHTS.length - 1, step: 1, "aria-label": "Strength of smoothing", oninput: () => smooth("drag"), onchange: () => smooth("push") });
  const told = h("output", {});
  const slider = h("span", { class: "slider" }, strength, told);
  const log = tick("Log y", "A logarithmic y axis", (on) => loop.go({ log: on }));
  const inliers = tick("Ignore outliers", "The y axis spans the middle 96 % of what is drawn", (on) => loop.go({ inliers: on }));
  const running = tick("Running mean", "Beside each batch's own value, the mean since the epoch began, as Keras prints it", (on) => loop.go({ running: on }));
  const zoom = tick("Zoom to window", "Show the chosen window alone", (on) => loop.go({ zoom: on }));
  const find = h("input", { type: "search", placeholder: "Find a series", "aria-label": "Find a series", oninput: () => offer() });
  const options = h("div", { class: "options" });
  const usual = h("button", { type: "button", class: "quiet", onclick: () => loop.go({ keys: [] }) }, "Back to the usual");
  const { element: sheet } = popover("Charts", find, options, usual);
  const tools = h("div", { class: "controls scalar-tools", role: "group", "aria-label": "How series are shown" }, sheet, x.element, of.element, smoothing.element, slider, log.element, inliers.element, running.element, zoom.element);
  const row = h("div", { class: "scalars" });
  const empty = h("p", { class: "note" }, "No loss or metric recorded yet.");
  const element = h("section", { class: "scalar-part", "aria-label": "Loss and metrics" }, tools, row, empty);
  /** @type {View} */
  let view = loop.view();
  /** @type {Run[]} */
  let runs = [];
  /** @type {string[]} */
  let shown = [];

  sheet.addEventListener("toggle", () => sheet.open && offer());

  /** @param {"drag" | "push"} how */
  function smooth(how) {
    const at = Number(strength.value);
    loop.go(view.sliding > 1 ? { sliding: WIDTHS[at] ?? 25 } : { smooth: WEIGHTS[at] ?? 0.9 }, how);
  }

  /** @param {string} key @param {boolean} on */
  function choose(key, on) {
    const others = shown.filter((one) => one !== key);
    loop.go({ keys: on ? [...others, key].slice(-MOST) : others });
  }

  function offer() {
    const wanted = find.value.trim().toLocaleLowerCase();
    const active = document.activeElement;
    const held = active instanceof HTMLInputElement && options.contains(active) ? active.value : null;
    const there = recorded(runs).filter((key) => key.toLocaleLowerCase().includes(wanted));
    fill(
      options,
      ...there.slice(0, 300).map((key) => h("label", {}, h("input", { type: "checkbox", value: key, checked: shown.includes(key), onchange: (event) => choose(key, event.target.checked) }), h("span", {}, key))),
      there.length === 0 && h("p", { class: "note" }, "No series of this name."),
    );
    if (held !== null) for (const input of options.querySelectorAll("input")) if (input.value === held) input.focus();
  }

  /** The chart of a series, made when it is first shown. @param {string} key */
  function chartOf(key) {
    const known = charts.get(key);
    if (known) return known;
    /** @type {{ chart: Chart, meta: Meta | null }} */
    const made = { chart: new Chart(key === "loss" ? "Loss" : RATE.test(key) ? "Learning rate" : key, "small", ({ layout: { meta } }) => {
      made.meta = meta;
      made.chart.note.textContent = [runs.length > 1 && !view.of ? "solid train, dashed val" : "", ...(meta.empty ? [] : (meta.notes ?? []))].filter(Boolean).join(". ").replaceAll("..", ".");
    }), meta: null };
    hair.join(made.chart, () => ({ meta: made.meta, run: runs[0] ?? null }));
    charts.set(key, made);
    return made;
  }

  /** @param {{ chart: Chart, meta: Meta | null }} one @returns {Drawing} */
  function drawing({ chart, meta }) {
    const first = runs[0] ?? null;
    const steps = chosenSteps(view, first);
    const window = steps && meta && ownAxis(meta) ? places(meta, steps) : null;
    return {
      legend: runs.length === 1,
      marks: { lines: [], window: view.zoom ? null : window },
      range: view.zoom ? window : null,
      onPoint: (at) => hair.point(chart, at),
      onBrush: (range, done) => {
        if (!meta || !first || !ownAxis(meta)) return;
        if (range) loop.go(windowOf(trained(meta, range), view, first), done ? "push" : "drag");
        else if (done) loop.go({ from: null, to: null, epoch: null });
      },
    };
  }

  function setControls() {
    const other = view.of === "val" || view.of === "test";
    x.set(view.x, AXES);
    x.element.hidden = view.page === "compare"; // there it is the axis of more than these
    of.set(view.of, OF.filter(([name]) => !name || runs.some((run) => run.series.some(({ split }) => split === name))));
    smoothing.set(view.sliding > 1 ? "sliding" : view.smooth > 0 ? "average" : "", [["", "off"], ["average", "moving average"], ["sliding", "sliding mean"]]);
    const scale = view.sliding > 1 ? WIDTHS : WEIGHTS;
    const value = view.sliding > 1 ? view.sliding : view.smooth;
    slider.hidden = smoothing.element.hidden = view.by === "epoch";
    if (!value || (view.sliding <= 1 && view.smooth <= 0)) slider.hidden = true;
    if (document.activeElement !== strength) strength.value = String(nearest(scale, value));
    told.textContent = view.sliding > 1 ? `of ${view.sliding} values` : `weight ${view.smooth}`;
    strength.setAttribute("aria-valuetext", told.textContent);
    log.set(view.log, view.baseline === "" || view.page !== "compare");
    inliers.set(view.inliers);
    running.set(view.running, view.by === "batch" && !other);
    zoom.set(view.zoom, chosenSteps(view, runs[0] ?? null) !== null || view.zoom);
  }

  return {
    element,
    /** @param {View} now @param {Run[]} of those shown; one, or several over each other @param {boolean} news */
    show(now, of, news) {
      view = now;
      runs = of;
      const there = recorded(runs);
      const chosen = now.keys.filter((key) => there.includes(key));
      shown = chosen.length ? chosen : usually(there);
      usual.hidden = chosen.length === 0;
      empty.hidden = there.length > 0;
      tools.hidden = there.length === 0;
      setControls();
      for (const [key, { chart }] of charts) chart.element.hidden = !shown.includes(key);
      const wanted = shown.map((key) => chartOf(key).chart.element);
      if (wanted.some((one, at) => row.children[at] !== one) || row.children.length !== wanted.length) fill(row, ...wanted);
      if (sheet.open) offer();
      for (const key of shown) {
        const one = chartOf(key);
        one.chart.show("series", query(key), news, () => drawing(one));
      }
    },
    close() {
      for (const { chart } of charts.values()) chart.close();
    },
  };

  /** @param {string} key */
  function query(key) {
    const rate = RATE.test(key);
    const by = recordedBy(runs, key, view.by);
    const steps = view.zoom && by === "batch" && (view.of === "" || view.of === "train") ? chosenSteps(view, runs[0] ?? null) : null;
    const several = runs.length > 1 || view.page === "compare";
    return {
      ...(several ? { runs: runs.map(({ id }) => id).join(",") } : { run: runs[0]?.id }),
      key,
      group: several && view.seeds === "together" ? groupNames(runs) : null,
      split: view.of || (rate ? "train" : "train,val"),
      by,
      from: steps?.from,
      to: steps?.to,
      x: view.x,
      smooth: by === "batch" && !rate && view.sliding <= 1 && view.smooth > 0 ? view.smooth : null,
      sliding: by === "batch" && !rate && view.sliding > 1 ? view.sliding : null,
      running: view.running && by === "batch" && !rate && !key.startsWith("system/") && !key.endsWith("(running mean)") ? "true" : null,
      log: view.log ? "true" : null,
      inliers: view.inliers ? "true" : null,
      baseline: several && view.seeds === "apart" && runs.some(({ id }) => id === view.baseline) ? view.baseline : null,
      theme: loop.theme(),
    };
  }
}

/** A box to tick. @param {string} word @param {string} says @param {(on: boolean) => void} choose */
function tick(word, says, choose) {
  const input = h("input", { type: "checkbox", onchange: () => choose(input.checked) });
  const element = h("label", { class: "tick", title: says }, input, word);
  return {
    element,
    /** @param {boolean} on @param {boolean} [possible] */
    set(on, possible = true) {
      input.checked = on;
      input.disabled = !possible;
    },
  };
}

/** The names of all series, what is told of the machine last. @param {Run[]} runs */
function recorded(runs) {
  const names = new Set(runs.flatMap((run) => run.series.filter((series) => series.by !== "run").map(({ key }) => key)));
  const rank = (/** @type {string} */ key) => (key === "loss" ? 0 : RATE.test(key) ? 2 : PER_CLASS.test(key) ? 4 : key.includes("/") ? 3 : 1);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

/** Loss, accuracy or else the first metric, and the learning rate. @param {string[]} there */
function usually(there) {
  const metrics = there.filter((key) => key !== "loss" && !RATE.test(key) && !PER_CLASS.test(key));
  const metric = metrics.find((key) => /accuracy/.test(key)) ?? metrics[0];
  return [there.find((key) => key === "loss"), metric, there.find((key) => RATE.test(key))].filter((key) => key !== undefined);
}

/** Whether a chart's x axis counts training, so that its window is one of the view. @param {Meta} meta */
const ownAxis = (meta) => meta.empty !== true && meta.own !== true && (meta.x === "step" || Boolean(meta.places));

/** @param {number[]} scale @param {number} value */
const nearest = (scale, value) => scale.reduce((best, one, at) => (Math.abs(one - value) < Math.abs((scale[best] ?? 0) - value) ? at : best), 0);

/** By what a series is shown: as the view says where it was recorded so, else as it was. @param {Run[]} runs @param {string} key @param {By} wanted @returns {By} */
function recordedBy(runs, key, wanted) {
  const there = new Set(runs.flatMap((run) => run.series.filter((series) => series.key === key).map(({ by }) => by)));
  return there.has(wanted) ? wanted : wanted === "batch" ? "epoch" : "batch";
}
