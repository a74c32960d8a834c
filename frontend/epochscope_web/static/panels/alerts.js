// What was found in a run while it trained: each cause once, a click from where it can be seen.

/** @import {Alert, Loop, Run} from "../types.d.ts" */
import * as api from "../api.js";
import { alertItem } from "./alert-item.js";
import { fill, h, say } from "./element.js";
import { count } from "./words.js";

const SHOWN = 5; // alerts listed before one asks for more
const RETRY_MS = 8000;

/** @param {Loop} loop */
export function alerts(loop) {
  const title = h("h2", { id: "alerts-title" }, "Alerts");
  const note = h("p", { class: "note", role: "status" });
  const list = h("ol", { class: "alerts" });
  const rest = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => tell(true) });
  const rules = h("ul");
  const watched = h("details", { class: "watched" }, h("summary", {}, "What is looked for"), rules, h("p", { class: "note" }, h("a", { class: "explained", href: "/stability.html#alerts", target: "_blank", rel: "noopener" }, "How alerts are found, and who sets the rules")));
  const element = h("section", { class: "panel alerts-panel", "aria-labelledby": "alerts-title" }, h("div", { class: "heading" }, title, note), list, rest, watched);
  element.hidden = true;
  /** @type {Alert[]} */
  let found = [];
  /** @type {Run | null} */
  let run = null;
  let rev = -1;
  /** @type {AbortController | null} */
  let asked = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;
  let every = false;

  /** @param {boolean} all whether every alert is listed */
  function tell(all) {
    every = all;
    const on = found.filter((one) => one.on).length;
    say(title, found.length ? `Alerts (${count(found.length)})` : "Alerts");
    say(note, found.length === 0 ? "None: nothing that is looked for was found." : on === 0 ? "All of them are over." : `${count(on)} ${on === 1 ? "is" : "are"} still on.`);
    fill(list, ...found.slice(0, all ? found.length : SHOWN).map(item));
    list.hidden = found.length === 0;
    rest.hidden = all || found.length <= SHOWN;
    rest.textContent = `${count(found.length - SHOWN)} earlier`;
  }

  /** @param {Alert} one */
  function item(one) {
    const { window: steps } = one;
    const of = run?.outputs.find((output) => output.name === one.output);
    const index = one.class_name === null ? -1 : (of?.class_names.indexOf(one.class_name) ?? -1);
    const go = () =>
      loop.go({
        split: one.split,
        ...(steps ? { from: steps.from, to: steps.to, epoch: null, by: "batch" } : {}),
        ...(index >= 0 ? { focus: [index] } : {}),
        ...(of && (run?.outputs.length ?? 0) > 1 ? { output: of.name } : {}),
      });
    const text = h("span", {}, one.says);
    return alertItem(one, steps || index >= 0 ? h("button", { type: "button", class: "bare", title: steps ? `Look at steps ${count(steps.from)}–${count(steps.to - 1)}` : "Look at this class", onclick: go }, text) : text);
  }

  async function load() {
    if (!run || asked) return;
    const mine = (asked = new AbortController());
    clearTimeout(retry);
    try {
      const answer = await api.alerts(run.id, mine.signal);
      if (mine.signal.aborted) return;
      found = answer.alerts;
      fill(rules, ...answer.rules.map((rule) => h("li", {}, rule)), answer.rules.length === 0 && h("li", {}, "Nothing: the rules of this project were taken away."));
      element.hidden = false;
      tell(every);
    } catch (error) {
      if (mine.signal.aborted) return;
      element.hidden = false;
      say(note, `${error instanceof Error ? error.message : String(error)} ${found.length ? "What you see is from before." : ""}`);
      rev = -1;
      retry = setTimeout(() => void load(), RETRY_MS);
    }
    asked = null;
  }

  return {
    element,
    /** @param {Run} of */
    show(of) {
      run = of;
      const now = of.rev;
      if (now === rev) return;
      rev = now;
      void load();
    },
    close() {
      asked?.abort();
      clearTimeout(retry);
    },
  };
}
