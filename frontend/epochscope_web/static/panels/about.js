// What a run was: params, model, code, machine; the load of the machine while it trained; and what of it has arrived.

/** @import {Loop, Page, Run, View} from "../types.d.ts" */
import * as api from "../api.js";
import { amending } from "./amend.js";
import { asking } from "./asking.js";
import { Chart } from "./chart.js";
import { fill, h, say } from "./element.js";
import { notices } from "./notices.js";
import { SPLITS, count, duration, goesOn, isTraining, moments, plain, span, state, steps, when } from "./words.js";
import { statusMark } from "./header.js";

/** Words of the environment that are about the model, and about the code; the rest is about the machine. */
const OF_MODEL = ["model_summary", "keras", "backend", "tensorflow", "jax", "torch"];
const OF_CODE = ["command", "git", "git_commit", "git_branch", "git_dirty", "python", "numpy"];
const MISSING = /^(updates|values) (lost|thinned|dropped|refused)/; // said in words below
/** Charts of the machine: title, and the series that share its axis. @type {[string, string[]][]} */
const LOADS = [
  ["Processors and memory, %", ["system/cpu", "system/memory"]],
  ["GPUs, %", ["system/gpu", "system/gpu_memory"]],
  ["Samples a second", ["system/samples_per_second"]],
];

/** @param {Loop} loop @returns {Page} */
export function aboutPage(loop) {
  const id = loop.view().run;
  let view = loop.view();
  /** @type {Run | null} */
  let run = null;
  let rev = -1;
  const back = h("a", {});
  const title = h("h1");
  const project = h("span", { class: "project" });
  const status = h("span");
  const edit = amending(loop, () => void question.load());
  const head = h("header", { class: "run-head", hidden: true }, h("div", { class: "names" }, project, title, status, edit.element));
  const params = card("Parameters");
  const notes = card("Notes and tags");
  const model = card("Model");
  const code = card("Code");
  const machine = card("Machine");
  const delivery = card("Delivery");
  const noticed = notices();
  const loads = LOADS.map(([name, keys]) => ({ chart: new Chart(name, "small"), keys }));
  const load = h("section", { class: "panel scalars loads", "aria-label": "Load of the machine" }, ...loads.map(({ chart }) => chart.element));
  const unloaded = h("p", { class: "nothing panel", hidden: true }, "Nothing is known of the load of the machine. The extra epochscope[system] brings what measures it.");
  const body = h("div", { class: "about-grid", hidden: true }, params.element, notes.element, model.element, code.element, machine.element, delivery.element);
  const early = h("h1", { class: "unseen" }, "About a run"); // until its name is known
  const waiting = h("div", { class: "panel skeleton" });
  const question = asking((signal) => api.run(id, signal), told);
  const element = h("article", { class: "about-page" }, h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: loop.href({ page: "runs" }) }, "Runs"), " / ", back), early, question.trouble, head, noticed.element, waiting, body, load, unloaded);
  load.hidden = true;

  /** @param {Run} of */
  function told(of) {
    run = of;
    waiting.hidden = early.hidden = true;
    for (const part of [head, body]) part.hidden = false;
    document.title = `About ${of.name} · epochscope`;
    back.setAttribute("href", loop.href({ ...view, page: "run", run: id }));
    say(back, of.name);
    say(title, of.name);
    say(project, of.archived ? `${of.project}, archived` : of.project);
    fill(status, statusMark(of));
    edit.set(of);
    noticed.set(of);
    params.set(Object.entries(of.params).map(([name, value]) => [name, plain(value)]), "None were given: Monitor(params={...}) keeps them.");
    notes.set([...(of.tags.length ? [/** @type {[string, string]} */ (["tags", of.tags.join(", ")])] : []), ...(of.group ? [/** @type {[string, string]} */ (["group", of.group])] : []), ...(of.notes ? [/** @type {[string, string]} */ (["notes", of.notes])] : [])], "None yet.");
    const known = Object.entries(of.environment).filter(([name]) => !MISSING.test(name));
    model.set([...of.outputs.map((output) => /** @type {[string, string]} */ ([of.outputs.length > 1 ? `output ${output.name}` : "classes", classesOf(output)])), ...(of.capture ? [/** @type {[string, string]} */ (["captured", of.capture])] : []), ...chosen(known, OF_MODEL)], "Nothing is known of the model.");
    code.set(chosen(known, OF_CODE), "Nothing is known of the code.");
    machine.set(known.filter(([name]) => !OF_MODEL.includes(name) && !OF_CODE.includes(name)), "Nothing is known of the machine.");
    delivery.set(arrived(of), "");
    loaded(of.rev !== rev);
    rev = of.rev;
  }

  /** @param {boolean} news */
  function loaded(news) {
    if (!run) return;
    const there = new Set(run.series.filter(({ by }) => by === "batch").map(({ key }) => key));
    for (const { chart, keys } of loads) {
      const mine = keys.filter((key) => there.has(key));
      chart.element.hidden = mine.length === 0;
      if (mine.length) chart.show("series", { run: id, split: "train", by: "batch", key: mine, theme: loop.theme() }, news);
    }
    const some = loads.some(({ chart }) => !chart.element.hidden);
    load.hidden = !some;
    unloaded.hidden = some;
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      view = now;
      if (run) loaded(false);
      else void question.load();
    },
    refresh: () => void question.load(),
    concerns: (about) => about === id,
    close() {
      question.close();
      loads.forEach(({ chart }) => chart.close());
    },
    act(action) {
      if (action !== "about") return false;
      back.click();
      return true;
    },
  };
}

/** A titled list of names and values. @param {string} title */
function card(title) {
  const rows = h("dl");
  const none = h("p", { class: "note" });
  const element = h("section", { class: "panel card" }, h("h2", {}, title), rows, none);
  let shown = "";
  return {
    element,
    /** @param {[string, string][]} pairs @param {string} empty what is said where there are none */
    set(pairs, empty) {
      const now = JSON.stringify(pairs);
      if (now === shown) return;
      shown = now;
      fill(rows, ...pairs.map(([name, value]) => h("div", { class: value.includes("\n") ? "long" : null }, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, value.includes("\n") ? h("pre", { tabindex: "0", "aria-label": name.replaceAll("_", " ") }, value) : value))));
      rows.hidden = pairs.length === 0;
      say(none, pairs.length ? "" : empty);
      none.hidden = pairs.length > 0;
    },
  };
}

/** @param {[string, string][]} known @param {string[]} names @returns {[string, string][]} */
const chosen = (known, names) => names.flatMap((name) => known.filter(([other]) => other === name));

/** @param {Run["outputs"][number]} output */
function classesOf({ class_names, labels }) {
  const some = class_names.slice(0, 12).join(", ");
  return `${count(class_names.length)}${labels ? " labels" : ""}: ${some}${class_names.length > 12 ? " …" : ""}`;
}

/** What of a run is here. @param {Run} run @returns {[string, string][]} */
function arrived(run) {
  const ahead = goesOn(run.status);
  const planned = (run.epochs ?? 0) * (run.batches_per_epoch ?? 0);
  const missing = Object.values(run.missing).reduce((sum, one) => sum + one, 0);
  return [
    ["state", `${state(run.status).word}: ${run.reason || state(run.status).says.toLowerCase()}`],
    ["started", moments(run.started_ms)],
    [isTraining(run.status) ? "going for" : run.ended_ms === null ? "heard for" : "took", duration(run)],
    ["last heard", ahead ? `${span(Date.now() - run.heard_ms)} ago` : when(run.heard_ms)],
    ...run.splits.map((split) => /** @type {[string, string]} */ ([`batches, ${SPLITS[split]}`, `${count(run.steps[split] ?? 0)}${split === "train" && planned ? ` of ${count(planned)}` : ""}`])),
    ["epochs begun", `${count(run.epoch)}${run.epochs ? ` of ${count(run.epochs)}` : ""}`],
    ["series", count(run.series.length)],
    ["told by", run.processes === 1 ? "1 process" : `${count(run.processes)} processes`],
    ["thinned, dropped, refused, lost", missing ? `${count(missing)}, as said above` : "nothing"],
    ...run.attempts.filter(({ attempt }) => attempt > 1).map((one) => /** @type {[string, string]} */ ([`attempt ${one.attempt}`, `${steps(one.from, one.to)} of ${SPLITS[one.split]}`])),
    ["run", run.id],
    ["revision", count(run.rev)],
  ];
}
