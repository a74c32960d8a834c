// Which classes are in focus: chips in the colours of their curves, and a list to choose from.

/** @import {InFocus} from "../types.d.ts" */
import { popover } from "./controls.js";
import { fill, h } from "./element.js";
import { measure } from "./words.js";

const MOST = 10; // further ones could not be told apart

/**
 * @param {(focus: number[] | null) => void} choose null: the worst of the moment
 * @param {string} [auto] what it is called when nothing is chosen
 * @param {(index: number) => string} [page] where the page of a class is
 */
export function focusChoice(choose, auto = "worst three", page) {
  const chips = h("ul", { class: "chips", "aria-label": "Classes in focus" });
  const filter = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", oninput: () => offer() });
  const options = h("div", { class: "options" });
  const reset = h("button", { type: "button", class: "quiet", onclick: () => choose(null) }, `Back to the ${auto}`);
  const { element: sheet } = popover("Choose classes", filter, options, reset);
  const element = h("div", { class: "focus" }, chips, sheet);
  /** @type {string[]} */
  let names = [];
  /** @type {number[] | null} */
  let chosen = null;
  /** @type {number[]} */
  let drawn = [];

  sheet.addEventListener("toggle", () => sheet.open && offer());

  /** @param {number} index @param {boolean} on */
  function set(index, on) {
    const now = (chosen ?? drawn).filter((other) => other !== index);
    const next = on ? [...now, index].slice(-MOST) : now;
    choose(next.length ? next : null);
  }

  function offer() {
    const wanted = filter.value.trim().toLocaleLowerCase();
    const current = new Set(chosen ?? drawn);
    const active = document.activeElement;
    const held = active instanceof HTMLInputElement && options.contains(active) ? active.value : null;
    const shown = names.map((name, index) => ({ name, index })).filter(({ name }) => name.toLocaleLowerCase().includes(wanted));
    fill(
      options,
      ...shown.slice(0, 300).map(({ name, index }) =>
        h("div", { class: "option", "data-class": index }, h("label", {}, h("input", { type: "checkbox", value: index, checked: current.has(index), onchange: (event) => set(index, event.target.checked) }), h("span", {}, name)), page && h("a", { href: page(index), "aria-label": `All about ${name}`, title: `All about ${name}` }, "›")),
      ),
      shown.length === 0 && h("p", { class: "note" }, "No class of this name."),
    );
    if (held !== null) /** @type {HTMLInputElement | null} */ (options.querySelector(`input[value="${held}"]`))?.focus();
  }

  return {
    element,
    /** Open the list to choose from; whether there is one. */
    open() {
      if (element.hidden) return false;
      sheet.open = true;
      filter.focus();
      return true;
    },
    /** @param {string[]} classNames @param {number[] | null} focus @param {InFocus[]} inFocus as drawn, with colours */
    set(classNames, focus, inFocus) {
      names = classNames;
      chosen = focus;
      drawn = inFocus.map(({ index }) => index);
      element.hidden = names.length === 0;
      reset.hidden = focus === null;
      const several = new Set(drawn).size > 1;
      fill(
        chips,
        ...inFocus.map(({ index, name, run, colour, dash, value, low, high }) => {
          const swatch = h("i", { class: `swatch ${dash ?? ""}` });
          swatch.style.color = colour;
          const interval = low !== null && high !== null ? `95 %: ${measure(low)} to ${measure(high)}` : "not seen yet";
          return h(
            "li",
            { "data-class": index, title: `${run ? `${run}, ` : ""}${name}: ${measure(value)} (${interval})` },
            swatch,
            page && !run ? h("a", { class: "name", href: page(index), title: `All about ${name}` }, name) : h("span", { class: "name" }, several ? name : (run ?? name)),
            h("b", {}, measure(value)),
            focus !== null && !run && h("button", { type: "button", class: "bare", "aria-label": `Take ${name} out of focus`, onclick: () => set(index, false) }, "×"),
          );
        }),
      );
      if (sheet.open) offer();
    },
  };
}
