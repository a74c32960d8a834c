// What can be done with the runs that are picked in the list: compare, tag, archive, delete.

/** @import {ListedRun, Loop, View} from "../types.d.ts" */
import * as api from "../api.js";
import { popover } from "./controls.js";
import { h, say } from "./element.js";
import { removeLater } from "./undo.js";
import { count } from "./words.js";

const MOST_COMPARED = 200; // the first eight are drawn over each other, params and results are of all

/**
 * @param {Loop} loop
 * @param {(id: string) => Pick<ListedRun, "id" | "name" | "tags" | "archived"> | undefined} known a run that is listed
 * @param {() => void} changed called when runs were changed here
 */
export function bulk(loop, known, changed) {
  /** @type {string[]} */
  let picked = [];
  const number = h("span", { class: "note", role: "status" });
  const compare = h("a", { class: "button", "aria-disabled": "true" }, "Compare");
  const clear = h("button", { type: "button", class: "quiet", onclick: () => loop.go({ runs: [] }, "replace") }, "Clear");
  const tag = h("input", { type: "text", "aria-label": "Tag", placeholder: "best", maxlength: 256, required: true, autocomplete: "off" });
  const form = h(
    "form",
    { onsubmit: (event) => { event.preventDefault(); void tagged(event.submitter?.value !== "remove"); } },
    h("label", {}, h("span", {}, "A tag for the picked runs"), tag),
    h("div", { class: "row" }, h("button", { type: "submit", value: "add" }, "Add"), h("button", { type: "submit", value: "remove", class: "quiet" }, "Take away")),
  );
  const sheet = popover("Tag", form);
  sheet.element.addEventListener("toggle", () => sheet.element.open && tag.focus());
  const archive = h("button", { type: "button", onclick: () => void archived() }, "Archive");
  const remove = h("button", { type: "button", class: "danger", onclick: () => void removed() }, "Delete");
  const trouble = h("p", { class: "trouble-line", role: "alert" });
  const actions = h("div", { class: "actions", role: "group", "aria-label": "With the picked runs" }, sheet.element, archive, remove, clear);
  const element = h("div", { class: "bulk" }, number, actions, compare, trouble);

  /** Do one thing with each picked run; what fails is said, what is done stays done. @param {string} doing @param {(run: Pick<ListedRun, "id" | "name" | "tags" | "archived">) => Promise<unknown>} one */
  async function each(doing, one) {
    const ids = picked;
    /** @type {string[]} */
    const failed = [];
    say(trouble, "");
    for (const [place, id] of ids.entries()) {
      if (ids.length > 3) say(number, `${doing} ${count(place + 1)} of ${count(ids.length)}`);
      try {
        await one(known(id) ?? (await api.run(id)));
      } catch (error) {
        failed.push(`${known(id)?.name ?? id}: ${error instanceof Error ? error.message : error}`);
      }
    }
    said();
    if (failed.length) say(trouble, `${count(failed.length)} of ${count(ids.length)} runs could not be changed. ${failed[0]}`);
    changed();
  }

  /** @param {boolean} add */
  async function tagged(add) {
    const name = tag.value.trim();
    if (!name) return;
    sheet.close();
    await each("Tagging", (run) => api.amend(run.id, { tags: add ? [...new Set([...run.tags, name])] : run.tags.filter((other) => other !== name) }));
    tag.value = "";
  }

  async function archived() {
    const back = backwards();
    await each(back ? "Bringing back" : "Archiving", (run) => api.amend(run.id, { archived: !back }));
    loop.go({ runs: [] }, "replace");
  }

  function removed() {
    const runs = picked.map((id) => ({ id, name: known(id)?.name ?? id }));
    loop.go({ runs: [] }, "replace");
    removeLater(runs);
  }

  /** Whether archiving would take out of the archive: only archived runs are picked. */
  const backwards = () => picked.length > 0 && picked.every((id) => known(id)?.archived);

  function said() {
    say(number, picked.length ? `${count(picked.length)} picked` : "");
  }

  return {
    element,
    compare,
    /** @param {View} view */
    set(view) {
      picked = view.runs;
      said();
      actions.hidden = picked.length === 0;
      say(archive, backwards() ? "Back from the archive" : "Archive");
      const can = picked.length >= 2 && picked.length <= MOST_COMPARED;
      if (can) compare.setAttribute("href", loop.href({ page: "compare", runs: picked }));
      else compare.removeAttribute("href");
      compare.setAttribute("aria-disabled", String(!can));
      say(compare, can ? `Compare ${picked.length} runs` : "Compare");
      compare.title = can ? "" : picked.length > MOST_COMPARED ? `Up to ${MOST_COMPARED} runs can be compared` : "Pick two runs or more";
    },
  };
}
