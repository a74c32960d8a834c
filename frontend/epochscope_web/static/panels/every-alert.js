// The page of alerts: what was found in all runs, the latest first, and the rules by which it is looked for.

/** @import {Alert, AlertKind, AlertPage, Loop, Page, View} from "../types.d.ts" */
import * as api from "../api.js";
import { KINDS, alertItem } from "./alert-item.js";
import { asking } from "./asking.js";
import { list, segments } from "./controls.js";
import { fill, h, say } from "./element.js";
import { rules } from "./rules.js";
import { count } from "./words.js";

const PAGE = 50;

/** @param {Loop} loop @returns {Page} */
export function alertsPage(loop) {
  let view = loop.view();
  let size = PAGE;
  /** @type {string[]} */
  let projects = [];

  const project = list("Project", (value) => loop.go({ project: value }));
  const kind = list("Rule", (value) => loop.go({ kind: value }));
  const state = segments("State", [["all", "all"], ["on", "still on"]], (value) => loop.go({ on: value === "on" }));
  const said = h("p", { class: "note", role: "status" });
  const found = h("ol", { class: "alerts" });
  const empty = h("div", { class: "nothing", hidden: true });
  const more = h("button", { type: "button", class: "quiet more", hidden: true, onclick: () => { size += PAGE; question.anew(); } }, "Show more");
  const panel = h("section", { class: "panel alerts-panel skeleton", "aria-label": "Alerts" }, found, empty);
  const looked = rules(loop);
  const question = asking(ask, told);
  const controls = h("div", { class: "controls" }, project.element, kind.element, state.element, said);
  const element = h("article", { class: "alerts-page" }, h("h1", {}, "Alerts"), question.trouble, controls, h("div", { class: "aside-grid" }, h("div", {}, panel, more), looked.element));

  /** @param {AbortSignal} signal */
  async function ask(signal) {
    /** @type {Alert[]} */
    const alerts = [];
    /** @type {string | null} */
    let cursor = null;
    do {
      const page = /** @type {AlertPage} */ (await api.everyAlert({ project: view.project, kind: view.kind, on: view.on ? "true" : "", limit: Math.min(size - alerts.length, 500), cursor }, signal));
      alerts.push(...page.alerts);
      cursor = page.next;
    } while (cursor !== null && alerts.length < size);
    const there = await api.projects(signal);
    return { alerts, further: cursor !== null, projects: there.projects.map(({ name }) => name) };
  }

  /** @param {{ alerts: Alert[], further: boolean, projects: string[] }} answer */
  function told(answer) {
    panel.classList.remove("skeleton");
    projects = answer.projects;
    controlled();
    const { alerts, further } = answer;
    const on = alerts.filter((one) => one.on).length;
    say(said, alerts.length ? `${further ? "the latest " : ""}${count(alerts.length)}${on ? `, ${count(on)} still on` : ", all of them over"}` : "");
    const held = document.activeElement instanceof HTMLAnchorElement && found.contains(document.activeElement) ? document.activeElement.href : null;
    fill(found, ...alerts.map(item));
    if (held !== null) [...found.querySelectorAll("a")].find(({ href }) => href === held)?.focus();
    found.hidden = alerts.length === 0;
    empty.hidden = alerts.length > 0;
    more.hidden = !further;
    const filtered = view.project || view.kind || view.on;
    fill(empty, h("p", {}, filtered ? "No alert matches." : projects.length ? "None: nothing that is looked for was found." : "No runs yet, and so nothing to look at."), filtered && h("button", { type: "button", onclick: () => loop.go({ project: "", kind: "", on: false }) }, "All alerts"));
    looked.show(view.project || (projects.length === 1 ? (projects[0] ?? "") : ""), projects);
  }

  /** @param {Alert} one */
  function item(one) {
    const place = one.window ? { split: one.split, from: one.window.from, to: one.window.to } : { split: one.split };
    const href = loop.href({ page: "run", run: one.run, ...(one.split === "test" ? {} : place), ...(one.output ? { output: one.output } : {}) });
    const title = one.window ? `Look at steps ${count(one.window.from)}–${count(one.window.to - 1)}` : "Look at the run";
    return alertItem(one, h("a", { class: "what", href, title }, one.says), h("span", { class: "of" }, h("b", {}, one.run_name), ` · ${one.project} ·`));
  }

  function controlled() {
    const names = view.project && !projects.includes(view.project) ? [view.project, ...projects] : projects;
    project.set(view.project, [["", "all"], ...names.map((name) => /** @type {[string, string]} */ ([name, name]))]);
    kind.set(view.kind, [["", "all"], ...Object.entries(KINDS)]);
    state.set(view.on ? "on" : "all");
  }

  return {
    element,
    /** @param {View} now */
    show(now) {
      const other = JSON.stringify([now.project, now.kind, now.on]) !== JSON.stringify([view.project, view.kind, view.on]);
      view = { ...now, kind: now.kind in KINDS ? /** @type {AlertKind} */ (now.kind) : "" };
      document.title = "Alerts · epochscope";
      controlled();
      if (other) question.anew();
      else if (panel.classList.contains("skeleton")) void question.load();
    },
    refresh: () => void question.load(),
    concerns: () => true,
    close() {
      question.close();
      looked.close();
    },
  };
}
