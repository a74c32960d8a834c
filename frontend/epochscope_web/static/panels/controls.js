// Controls: a choice among few (segments), among many (a list), and a sheet that opens below its word (a popover).

/** @import {Child} from "./element.js" */
import { fill, h } from "./element.js";

let number = 0;

/**
 * A choice among few, as radio buttons side by side.
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} options value and word
 * @param {(value: T) => void} choose
 */
export function segments(label, options, choose) {
  const name = `choice-${(number += 1)}`;
  /** @type {Map<T, HTMLInputElement>} */
  const inputs = new Map();
  const parts = options.map(([value, word]) => {
    const input = h("input", { type: "radio", name, value, onchange: () => choose(value) });
    inputs.set(value, input);
    return h("label", {}, input, h("span", {}, word));
  });
  const element = h("fieldset", { class: "segments" }, h("legend", {}, label), h("div", {}, ...parts));
  return {
    element,
    /** @param {T} value @param {T[]} [offered] what can be chosen; left out: everything */
    set(value, offered) {
      for (const [key, input] of inputs) {
        input.checked = key === value;
        input.disabled = offered !== undefined && !offered.includes(key);
      }
    },
  };
}

/**
 * A choice among many.
 * @param {string} label
 * @param {(value: string) => void} choose
 */
export function list(label, choose) {
  const select = h("select", { onchange: () => choose(select.value) });
  const element = h("label", { class: "list" }, h("span", {}, label), select);
  let offered = "";
  return {
    element,
    /** @param {string} value @param {[string, string][]} options value and word */
    set(value, options) {
      const now = JSON.stringify(options);
      if (now !== offered) {
        offered = now;
        fill(select, ...options.map(([key, word]) => h("option", { value: key }, word)));
      }
      select.value = value;
      element.hidden = options.length < 2;
    },
  };
}

/**
 * A sheet that opens below its word, and closes at Escape and at a press anywhere else.
 * @param {string} word
 * @param {...Child} content
 */
export function popover(word, ...content) {
  const summary = h("summary", {}, word);
  const element = h("details", { class: "popover" }, summary, h("div", { class: "sheet" }, ...content));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  function close() {
    element.open = false;
    summary.focus();
  }
  return { element, close };
}

document.addEventListener("pointerdown", (event) => {
  for (const sheet of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.popover[open]"))) {
    if (!sheet.contains(/** @type {Node} */ (event.target))) sheet.open = false;
  }
});
