// The columns of the list of runs: what each is called, shows, sorts by, and which of them are shown.

/** @import {Child} from "./element.js" */
/** @import {Fields, Glance, ListedRun, View} from "../types.d.ts" */
import * as api from "../api.js";
import { popover } from "./controls.js";
import { fill, h } from "./element.js";
import { progress } from "./header.js";
import { spark } from "./spark.js";
import { count, duration, left, measure, moments, plain, points, when } from "./words.js";

/**
 * One column. `sort`: what the service sorts by, "": nothing; `value`: the number whose mean a group shows.
 * @typedef {{ id: string, name: string, kind: string, sort: string, title?: string, show: (run: ListedRun, floor: number) => Child[], value?: (run: ListedRun) => unknown }} Column
 */

/** Last values under the names that Keras and Monitor give them, best first. @type {Record<string, [string, string[]]>} */
const VALUES = {
  loss: ["loss", ["loss"]],
  accuracy: ["accuracy", ["accuracy", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"]],
  val_accuracy: ["val accuracy", ["val_accuracy", "val_sparse_categorical_accuracy", "val_categorical_accuracy", "val_binary_accuracy"]],
  val_macro_f1: ["val macro F1", ["val_macro_f1"]],
};

/** @type {Column[]} */
const PLAIN = [
  { id: "step", name: "step", kind: "n", sort: "", show: step },
  { id: "epoch", name: "epoch", kind: "n narrow", sort: "", show: (run) => [count(run.epoch), run.epochs ? h("small", {}, ` / ${count(run.epochs)}`) : null] },
  { id: "curve", name: "macro F1", kind: "narrow", sort: "", title: "Its course: of validation where there is one, else of training", show: (run, floor) => curve(run, floor) },
  { id: "worst", name: "worst class", kind: "narrow", sort: "worst", title: "The class of the least F1 at the end of that course", show: (run) => ofClass(glance(run)?.worst, measure), value: (run) => glance(run)?.worst?.value },
  { id: "drop", name: "certified drop", kind: "narrow", sort: "drop", title: "How far a class surely fell below its own best recall in training, in points of a percent", show: drop, value: (run) => glance(run)?.drop?.value },
  { id: "started", name: "started", kind: "n later", sort: "created", show: (run) => [h("span", { title: moments(run.started_ms) }, when(run.started_ms))] },
  { id: "time", name: "time", kind: "n", sort: "", show: (run) => [duration(run), left(run) && h("small", { class: "left" }, left(run))] },
];

const DEFAULT = ["step", "epoch", "curve", "worst", "drop", "loss", "accuracy", "val_accuracy", "val_macro_f1", "started", "time"];

/** The columns that a view has, in order. @param {View} view @param {ListedRun[]} runs @returns {Column[]} */
export function columns(view, runs) {
  const chosen = view.columns ?? DEFAULT;
  const all = view.group && !chosen.includes(`params.${view.group}`) ? [`params.${view.group}`, ...chosen] : chosen;
  return all.map((id) => column(id, runs)).filter((one) => one !== null);
}

/** @param {string} id @param {ListedRun[]} runs @returns {Column | null} */
function column(id, runs) {
  const usual = PLAIN.find((one) => one.id === id);
  if (usual) return usual;
  const [name, keys] = Object.hasOwn(VALUES, id) ? /** @type {[string, string[]]} */ (VALUES[id]) : ["", []];
  if (keys.length) {
    const value = (/** @type {ListedRun} */ run) => keys.map((key) => run.summary[key]).find((one) => one !== undefined && one !== null);
    const there = keys.find((key) => runs.some((run) => key in run.summary)) ?? keys[0];
    return { id, name, kind: id === "accuracy" || id === "loss" ? "n narrow late" : "n narrow", sort: `summary.${there}`, show: (run) => [measure(value(run))], value };
  }
  const [, kind, key] = /^(params|summary)\.(.+)$/s.exec(id) ?? [];
  if (!kind || !key) return null;
  const value = (/** @type {ListedRun} */ run) => (kind === "params" ? run.params : run.summary)[key];
  return { id, name: key, kind: runs.some((run) => typeof value(run) === "string" && kind === "params") ? "free" : "n free", sort: field(kind, key), title: kind === "params" ? `Param ${key}` : `Last value of ${key}`, show: (run) => [plain(value(run))], value };
}

/** A param or a last value, as the service is asked for it. @param {string} kind @param {string} name */
export const field = (kind, name) => `${kind}.${/[=!<>"]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name}`;

/** What a group is called: the value of its param. @param {ListedRun} run @param {string} param */
export const groupOf = (run, param) => plain(run.params[param]);

/** @param {ListedRun} run @returns {Glance | null} */
const glance = (run) => (run.glance && "split" in run.glance ? /** @type {Glance} */ (run.glance) : null);

/** @param {ListedRun} run */
function step(run) {
  const done = progress(run);
  const bar = h("i");
  bar.style.width = `${100 * (done ?? 0)}%`;
  return [count(run.steps.train ?? 0), done !== null && done < 1 && h("span", { class: "meter", role: "img", "aria-label": `${Math.floor(100 * done)} %`, title: `${Math.floor(100 * done)} %` }, bar)];
}

/** @param {ListedRun} run @param {number} floor */
function curve(run, floor) {
  const of = glance(run);
  return of?.macro_f1.length ? [spark(of.macro_f1, `Macro F1 in ${of.split}`, floor)] : ["–"];
}

/** Where all courses of a list have their foot: at their least value, so that they can be compared. @param {ListedRun[]} runs */
export function footOf(runs) {
  const values = runs.flatMap((run) => glance(run)?.macro_f1 ?? []).filter((value) => value !== null);
  return values.length ? Math.min(0.95, Math.floor(20 * values.reduce((least, value) => Math.min(least, value), 1)) / 20) : 0;
}

/** @param {ListedRun} run */
function drop(run) {
  const of = glance(run);
  if (!of) return ["–"];
  return of.drop ? ofClass(of.drop, (value) => `▼ ${points(100 * value)}`) : [h("span", { class: "quiet" }, "none")];
}

/** @param {{ class_name: string, value: number } | null | undefined} of @param {(value: number) => string} form */
function ofClass(of, form) {
  return of ? [h("span", { class: "of-class", title: `${of.class_name}: ${form(of.value)}` }, h("span", {}, of.class_name), h("b", {}, form(of.value)))] : ["–"];
}

/**
 * The sheet in which columns and the grouping are chosen.
 * @param {(change: Partial<View>) => void} choose
 */
export function columnChoice(choose) {
  const filter = h("input", { type: "search", placeholder: "Find a param or value", "aria-label": "Find a column", oninput: () => offer() });
  const options = h("div", { class: "options" });
  const group = h("select", { onchange: () => choose({ group: group.value }) });
  const reset = h("button", { type: "button", class: "quiet", onclick: () => choose({ columns: null }) }, "Back to the usual columns");
  const { element } = popover("Columns", filter, options, reset);
  const grouping = h("label", { class: "list side" }, h("span", {}, "Group by"), group);
  /** @type {View | null} */
  let view = null;
  /** @type {Fields | null} */
  let fields = null;

  element.addEventListener("toggle", () => element.open && void ask());
  grouping.addEventListener("pointerdown", () => void ask());
  group.addEventListener("focus", () => void ask());

  async function ask() {
    offer();
    try {
      fields = await api.fields();
    } catch {
      return; // the list itself says that the service does not answer
    }
    offer();
    groups();
  }

  function groups() {
    const names = fields?.params.map(({ name }) => name) ?? [];
    if (view?.group && !names.includes(view.group)) names.unshift(view.group);
    const now = JSON.stringify(names);
    if (group.dataset["names"] !== now) {
      group.dataset["names"] = now;
      fill(group, h("option", { value: "" }, "nothing"), ...names.map((name) => h("option", { value: name }, name)));
    }
    group.value = view?.group ?? "";
  }

  function offer() {
    if (!view) return;
    const wanted = filter.value.trim().toLocaleLowerCase();
    const now = view.columns ?? DEFAULT;
    /** @type {[string, string, string][]} */
    const all = [
      ...PLAIN.map(({ id, name }) => /** @type {[string, string, string]} */ ([id, name, ""])),
      ...Object.entries(VALUES).map(([id, [name]]) => /** @type {[string, string, string]} */ ([id, name, ""])),
      ...(fields?.params ?? []).map(({ name }) => /** @type {[string, string, string]} */ ([`params.${name}`, name, "param"])),
      ...(fields?.summary ?? []).map(({ name }) => /** @type {[string, string, string]} */ ([`summary.${name}`, name, "last value"])),
    ];
    const held = document.activeElement instanceof HTMLInputElement && options.contains(document.activeElement) ? document.activeElement.value : null;
    const found = all.filter(([, name]) => name.toLocaleLowerCase().includes(wanted));
    fill(
      options,
      ...found.slice(0, 300).map(([id, name, kind]) =>
        h("label", {}, h("input", { type: "checkbox", value: id, checked: now.includes(id), onchange: (event) => choose({ columns: event.target.checked ? [...now, id] : now.filter((other) => other !== id) }) }), h("span", {}, name, kind && h("small", {}, ` ${kind}`))),
      ),
      found.length === 0 && h("p", { class: "note" }, "No column of this name."),
    );
    if (held !== null) /** @type {HTMLElement | undefined} */ ([...options.querySelectorAll("input")].find((input) => input.value === held))?.focus();
  }

  return {
    element,
    grouping,
    /** @param {View} now */
    set(now) {
      view = now;
      reset.hidden = now.columns === null;
      groups();
      if (element.open) offer();
    },
  };
}
