// The help: every key of the page, in a sheet above it. Made of the table by which the keys are heard.

import { KEYS } from "../keys.js";
import { h } from "./element.js";

/** @type {[import("../keys.js").Where, string][]} */
const PLACES = [["everywhere", "Everywhere"], ["list", "List of runs"], ["run", "Page of a run"]];

export function help() {
  const close = h("button", { type: "button", class: "quiet", onclick: () => element.close() }, "Close");
  const element = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h("header", {}, h("h2", { id: "help-title" }, "Keys"), close),
    h(
      "div",
      { class: "columns" },
      ...PLACES.map(([place, title]) =>
        h(
          "section",
          {},
          h("h3", {}, title),
          h("dl", {}, ...KEYS.filter(({ where }) => where === place).map(({ keys, says }) => h("div", {}, h("dt", {}, ...keys.split(" ").map((key) => h("kbd", {}, key === "Escape" ? "Esc" : key))), h("dd", {}, says)))),
        ),
      ),
    ),
    h("p", { class: "note" }, "Tab goes through everything, Enter and Space press it. Charts have their numbers beside them, as tables and as CSV under Save."),
  );
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close(); // beside the sheet
  });
  document.body.append(element);
  return {
    /** Show it, or hide it again. A modal dialog keeps the focus inside and gives it back by itself. */
    toggle() {
      if (element.open) element.close();
      else element.showModal();
    },
  };
}
