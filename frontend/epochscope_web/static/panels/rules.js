// What is looked for in the runs of a project, and the form that changes it.

/** @import {AlertKind, Loop, Metric, Rule, Rules} from "../types.d.ts" */
import * as api from "../api.js";
import { KINDS } from "./alert-item.js";
import { list } from "./controls.js";
import { fill, h, say } from "./element.js";

const OF_CLASSES = ["change", "drop", "below"];
const WITH_LEVEL = ["drop", "below"];

/** @param {Loop} loop */
export function rules(loop) {
  const title = h("h2", { id: "rules-title" }, "What is looked for");
  const note = h("p", { class: "note", role: "status" });
  const rows = h("ul", { class: "rules" });
  const sent = h("p", { class: "note" });
  const trouble = h("p", { class: "trouble-line", role: "alert" });
  const usual = h("button", { type: "button", class: "quiet", onclick: () => void set(null) }, "Back to the usual rules");
  const undo = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => void set(before, false) }, "Undo the last change");
  const kind = list("Rule", () => fit());
  const at = h("input", { type: "number", min: 0, max: 1, step: "any", required: true, inputmode: "decimal" });
  const metric = list("Rate", () => {});
  const split = list("Split", () => {});
  const classes = h("input", { type: "text", placeholder: "all classes", autocomplete: "off" });
  const after = h("input", { type: "number", min: 0, value: 1, required: true });
  const send = h("input", { type: "checkbox", checked: true });
  const level = h("label", {}, h("span", {}, "At, 0 to 1"), at);
  const names = h("label", {}, h("span", {}, "Classes, with commas between"), classes);
  const late = h("label", {}, h("span", {}, "From the end of epoch"), after);
  const form = h(
    "form",
    { class: "rule-form", onsubmit: (event) => { event.preventDefault(); void set([...known, made()]); } },
    kind.element, level, metric.element, split.element, names, late,
    h("label", { class: "tick" }, send, h("span", {}, "to webhooks, too")),
    h("div", { class: "row" }, h("button", { type: "submit" }, "Add the rule")),
  );
  const adding = h("details", { class: "adding" }, h("summary", {}, "Add a rule"), form);
  const explained = h("p", { class: "note" }, h("a", { class: "explained", href: "/stability.html#alerts", target: "_blank", rel: "noopener" }, "How alerts are found"));
  const element = h("section", { class: "panel rules-panel", "aria-labelledby": "rules-title" }, title, note, rows, sent, trouble, adding, undo, usual, explained);
  let project = "";
  /** @type {Rule[]} */
  let known = [];
  /** The rules before the last change here; null: the usual ones. @type {Rule[] | null} */
  let before = null;
  let usually = true;
  /** @type {AbortController | null} */
  let asked = null;

  kind.set("change", Object.entries(KINDS));
  metric.set("recall", [["recall", "recall"], ["precision", "precision"], ["f1", "F1"]]);
  split.set("train", [["train", "train"], ["val", "val"]]);
  fit();

  const value = (/** @type {{ element: HTMLElement }} */ of) => of.element.querySelector("select")?.value ?? "";

  /** Ask only for what the kind of rule needs. */
  function fit() {
    const chosen = kind.element.querySelector("select")?.value ?? "change";
    level.hidden = at.disabled = !WITH_LEVEL.includes(chosen);
    at.value ||= chosen === "drop" ? "0.1" : "0.7";
    names.hidden = split.element.hidden = !OF_CLASSES.includes(chosen);
    metric.element.hidden = late.hidden = after.disabled = chosen !== "below";
  }

  /** @returns {Rule} */
  function made() {
    const chosen = /** @type {AlertKind} */ (value(kind));
    return {
      kind: chosen,
      at: WITH_LEVEL.includes(chosen) ? Number(at.value) : null,
      split: OF_CLASSES.includes(chosen) && value(split) === "val" ? "val" : "train",
      metric: chosen === "below" ? /** @type {Metric} */ (value(metric)) : "recall",
      classes: OF_CLASSES.includes(chosen) ? classes.value.split(",").map((name) => name.trim()).filter(Boolean) : [],
      after_epoch: chosen === "below" ? Number(after.value) : 1,
      send: send.checked,
    };
  }

  /** @param {Rule[] | null} wanted @param {boolean} [undone] whether this can be taken back */
  async function set(wanted, undone = true) {
    const was = usually ? null : known;
    try {
      told(await api.setRules(project, wanted));
      before = was;
      undo.hidden = !undone;
      classes.value = "";
      adding.open = false;
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Rules} answer */
  function told(answer) {
    if (answer.project !== project) return;
    say(trouble, "");
    usually = !answer.set;
    known = answer.rules.map(({ says: _, ...rule }) => rule);
    say(note, answer.set ? `In runs of ${project}, as somebody has set it:` : `In runs of ${project}, as nobody has said otherwise:`);
    fill(
      rows,
      ...answer.rules.map((rule, place) => h("li", {}, h("span", {}, rule.says), h("button", { type: "button", class: "bare", "aria-label": `Look no more for: ${rule.says}`, title: "Look no more for it", onclick: () => void set(known.filter((_, other) => other !== place)) }, "×"))),
      answer.rules.length === 0 && h("li", {}, "Nothing."),
    );
    say(sent, answer.webhooks.length ? `Sent to ${answer.webhooks.join(", ")}.` : "Shown here alone; who starts the service may name webhooks.");
    usual.hidden = !answer.set;
    for (const part of [adding, sent, explained]) part.hidden = false;
  }

  async function load() {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const answer = await api.rules(project, mine.signal);
      if (!mine.signal.aborted) told(answer);
    } catch (error) {
      if (!mine.signal.aborted) say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  return {
    element,
    /** @param {string} of the project whose rules are shown; "": none is chosen @param {string[]} projects */
    show(of, projects) {
      element.hidden = projects.length === 0;
      if (of === project && (of || note.textContent)) return;
      project = of;
      undo.hidden = true;
      if (of) {
        void load();
        return;
      }
      known = [];
      say(note, "Each project has rules of its own:");
      for (const part of [adding, usual, sent, explained]) part.hidden = true;
      fill(rows, ...projects.map((name) => h("li", {}, h("button", { type: "button", class: "link", onclick: () => loop.go({ project: name }) }, name))));
    },
    close: () => asked?.abort(),
  };
}
