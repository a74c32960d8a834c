// What was confused most: a list to read, to search, and to follow from.

/** @import {Confused} from "../types.d.ts" */
import { fill, h } from "./element.js";
import { count, share } from "./words.js";

const FEW = 8; // shown before one asks for more
const SEARCHED = 12; // with more classes than this there is something to search

/** @typedef {{ confused: Confused[], total: number, right: number, different: number, names: string[], find: string }} List */

/**
 * @param {(row: number, column: number) => void} follow a line was chosen: true and predicted class
 * @param {(find: string) => void} search
 */
export function confusedList(follow, search) {
  const rows = h("tbody");
  const find = h("input", { type: "search", placeholder: "Find classes", "aria-label": "Find classes that were confused", oninput: () => search(find.value.trim()) });
  const says = h("p", { class: "note", role: "status" });
  const more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => show(true) });
  const sheet = h("a", { download: true }, "All as CSV");
  const element = h(
    "section",
    { class: "largest", "aria-label": "Most confused" },
    h("div", { class: "heading" }, h("h3", {}, "Most confused"), find),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "true class, taken for"), h("th", { scope: "col", class: "n" }, "n"), h("th", { scope: "col", class: "n" }, "of true"))), rows),
    h("div", { class: "foot" }, says, more, sheet),
  );
  /** @type {List | null} */
  let list = null;
  let all = false;

  /** @param {boolean} every */
  function show(every) {
    all = every;
    if (list) set(list);
  }

  /** @param {List} now */
  function set(now) {
    list = now;
    const { confused, names, total, right, different } = now;
    element.hidden = total === 0;
    find.hidden = names.length <= SEARCHED;
    if (document.activeElement !== find) find.value = now.find;
    const shown = confused.slice(0, all ? confused.length : FEW);
    const most = Math.max(...shown.map((one) => one.share), 0.0001);
    const held = document.activeElement instanceof HTMLElement && rows.contains(document.activeElement) ? document.activeElement.dataset["cell"] : undefined;
    fill(rows, ...shown.map((one) => line(one, names, most)), confused.length === 0 && h("tr", {}, h("td", { colspan: 3 }, now.find && total > right ? "No confusion of such classes." : "Nothing was confused here.")));
    if (held) /** @type {HTMLElement | null} */ (rows.querySelector(`[data-cell="${held}"]`))?.focus();
    const covered = shown.at(-1)?.covered ?? 0;
    says.textContent = shown.length ? `${shown.length === different ? (different === 1 ? "This is" : "These are") : shown.length === 1 ? "This makes up" : `These ${count(shown.length)} make up`} ${share(covered)} of all ${count(total - right)} mistakes${shown.length < different ? `; ${count(different)} pairs ${now.find ? "fit" : "were confused"}` : ""}.` : "";
    more.hidden = all || confused.length <= FEW;
    more.textContent = `Show ${count(confused.length)}`;
  }

  /** @param {Confused} one @param {string[]} names @param {number} most */
  function line(one, names, most) {
    const bar = h("i", { class: "ink" });
    bar.style.width = `${(100 * one.share) / most}%`;
    const [from, to] = [names[one.true] ?? `class ${one.true}`, names[one.predicted] ?? `class ${one.predicted}`];
    const interval = `${count(one.count)} of ${count(one.of)}; 95 %: ${share(one.low)} to ${share(one.high)}`;
    return h(
      "tr",
      { "data-class": one.true },
      h("td", {}, h("button", { type: "button", class: "bare pair", title: "Follow it over time", "data-cell": `${one.true},${one.predicted}`, onclick: () => follow(one.true, one.predicted) }, h("span", {}, from), h("span", { class: "arrow" }, " → "), h("span", {}, to))),
      h("td", { class: "n" }, count(one.count)),
      h("td", { class: "n share", title: interval }, bar, h("span", {}, share(one.share))),
    );
  }

  return {
    element,
    set,
    /** @param {string} href where all of it is */
    link(href) {
      sheet.href = href;
    },
    focus: () => find.focus(),
  };
}
