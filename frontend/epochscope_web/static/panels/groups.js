// Runs that differ by their seeds, as one: mean and spread of each class, and whether two groups differ more than seeds do.

/** @import {Figure, Loop, Run, View} from "../types.d.ts" */
import { Chart } from "./chart.js";
import { fill, h } from "./element.js";
import { labelName, outputName } from "./matrix.js";
import { said } from "./params.js";
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

const SEED = /seed|random_state/i;

/**
 * The runs by the group that they were given, in the order in which groups come up; where none was given, by their params,
 * seeds aside; where nothing makes a group, they are one.
 * @param {Run[]} runs
 */
function grouped(runs) {
  const given = runs.some(({ group }) => group);
  /** @type {Map<string, Run[]>} */
  const found = new Map();
  for (const run of runs) {
    const key = given ? run.group : likeness(run);
    found.set(key, [...(found.get(key) ?? []), run]);
  }
  if (given) return [...found].map(([group, own]) => ({ name: group || (found.size > 1 ? "no group" : "These runs"), ids: own.map(({ id }) => id) }));
  const several = [...found.values()].filter((own) => own.length > 1);
  if (several.length === 0 || found.size === 1) return [{ name: "These runs", ids: runs.map(({ id }) => id) }];
  return several.map((own) => ({ name: told(own, several), ids: own.map(({ id }) => id) }));
}

/** What is the same of runs that differ by their seed alone. @param {Run} run */
const likeness = (run) => JSON.stringify([run.project, ...Object.entries(run.params).filter(([name]) => !SEED.test(name)).sort()]);

/**
 * The name of each run's group, as `groups` shows them; a run that is in none stands for itself.
 * @param {Run[]} runs
 * @returns {string[]}
 */
export function groupNames(runs) {
  const given = runs.some(({ group }) => group);
  const named = grouped(given ? runs.filter(({ group }) => group) : runs);
  const taken = new Set(named.map(({ name }) => name));
  return runs.map(({ id, name }) => named.find(({ ids }) => ids.includes(id))?.name ?? (taken.has(name) ? `${name} (one run)` : name));
}

/** Which colour each run has: one of its own, or that of its group. @param {Run[]} runs @param {View} view @returns {number[]} */
export function colours(runs, view) {
  const names = view.seeds === "together" ? groupNames(runs) : runs.map(({ id }) => id);
  const each = [...new Set(names)];
  return names.map((name) => each.indexOf(name) % 10);
}

/** A group by what tells it from the others: a few of its params. @param {Run[]} own @param {Run[][]} groups */
function told(own, groups) {
  const values = (/** @type {string} */ name) => new Set(groups.map(([first]) => JSON.stringify(first?.params[name])));
  const names = Object.keys(own[0]?.params ?? {}).filter((name) => !SEED.test(name) && values(name).size > 1);
  return names.slice(0, 3).map((name) => `${name} ${said(own[0]?.params[name])}`).join(", ") || "Same params";
}
