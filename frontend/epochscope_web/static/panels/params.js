// In which params the runs differ that are compared: a row a param, a column a run.

/** @import {Run} from "../types.d.ts" */
import { fill, h } from "./element.js";

export function params() {
  const head = h("tr");
  const rows = h("tbody");
  const note = h("p", { class: "note" });
  const every = h("input", { type: "checkbox", onchange: () => show(shown, coloured) });
  const table = h("table", { class: "params" }, h("caption", { class: "unseen" }, "Params of the runs compared"), h("thead", {}, head), rows);
  const element = h("section", { class: "panel params-panel" }, h("div", { class: "heading" }, h("h2", {}, "Params that differ"), note, h("label", { class: "tick" }, every, "All params")), h("div", { class: "scroll" }, table));
  /** @type {Run[]} */
  let shown = [];
  /** @type {number[]} */
  let coloured = [];

  /** @param {Run[]} runs @param {number[]} colours of each */
  function show(runs, colours) {
    shown = runs;
    coloured = colours;
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.params)))].sort((a, b) => a.localeCompare(b));
    const differing = names.filter((name) => new Set(runs.map((run) => said(run.params[name]))).size > 1);
    const listed = every.checked ? names : differing;
    element.hidden = runs.length < 2;
    note.textContent = names.length === 0 ? "None of these runs has params." : differing.length === 0 ? `All ${names.length} are the same.` : `${differing.length} of ${names.length}`;
    table.hidden = listed.length === 0;
    fill(head, h("th", { scope: "col" }, "param"), ...runs.map((run, place) => h("th", { scope: "col" }, h("i", { class: `line run-${colours[place]}`, "aria-hidden": "true" }), run.name)));
    fill(rows, ...listed.map((name) => h("tr", { class: differing.includes(name) ? "differs" : "" }, h("th", { scope: "row" }, name), ...runs.map((run) => h("td", {}, said(run.params[name]))))));
  }

  return { element, show };
}

/** A param as it is written; objects and lists as JSON. @param {unknown} value */
export function said(value) {
  if (value === undefined || value === null) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
