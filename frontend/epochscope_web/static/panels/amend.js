// Changing what a viewer may change of a run: its name, tags and notes; to archive it, and to delete it.

/** @import {Loop, Run} from "../types.d.ts" */
import * as api from "../api.js";
import { popover } from "./controls.js";
import { h, say } from "./element.js";
import { removeLater } from "./undo.js";

/** @param {Loop} loop @param {() => void} changed called when the service has taken a change */
export function amending(loop, changed) {
  const name = h("input", { type: "text", required: true, maxlength: 256, autocomplete: "off" });
  const tags = h("input", { type: "text", placeholder: "baseline, first try", autocomplete: "off" });
  const notes = h("textarea", { rows: 4, maxlength: 10_000 });
  const trouble = h("p", { class: "trouble-line", role: "alert" });
  const archive = h("button", { type: "button", onclick: () => void send({ archived: !run?.archived }) }, "Archive");
  const remove = h("button", { type: "button", class: "danger", onclick: removed }, "Delete");
  const form = h(
    "form",
    { onsubmit: (event) => { event.preventDefault(); void send({ name: name.value.trim(), tags: listed(tags.value), notes: notes.value }); } },
    h("label", {}, h("span", {}, "Name"), name),
    h("label", {}, h("span", {}, "Tags, with commas between"), tags),
    h("label", {}, h("span", {}, "Notes"), notes),
    trouble,
    h("div", { class: "row" }, h("button", { type: "submit" }, "Save"), h("span", { class: "gap" }), archive, remove),
  );
  const menu = popover("Edit", form);
  menu.element.classList.add("amend");
  /** @type {Run | null} */
  let run = null;

  menu.element.addEventListener("toggle", () => {
    if (!run || !menu.element.open) return;
    name.value = run.name;
    tags.value = run.tags.join(", ");
    notes.value = run.notes;
    say(trouble, "");
    say(archive, run.archived ? "Back from the archive" : "Archive");
    name.focus();
  });

  /** @param {Partial<Pick<Run, "name" | "tags" | "notes" | "archived">>} changes */
  async function send(changes) {
    if (!run) return;
    try {
      await api.amend(run.id, changes);
      menu.close();
      changed();
    } catch (error) {
      say(trouble, error instanceof Error ? error.message : String(error));
    }
  }

  function removed() {
    if (!run) return;
    loop.go({ page: "runs", run: "" });
    removeLater([run]);
  }

  return {
    element: menu.element,
    /** @param {Run} of */
    set(of) {
      run = of;
    },
  };
}

/** @param {string} text */
const listed = (text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
