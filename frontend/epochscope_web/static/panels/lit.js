// A class that the mouse or the focus is on is lit wherever it is shown: by CSS classes alone, no chart is drawn anew.

import { light } from "../draw.js";

/** @type {string} */
let now = "";

/** Light these classes, by index, and nothing else. @param {readonly number[]} classes */
export function lit(classes) {
  const next = classes.join();
  if (next === now) return;
  now = next;
  const wanted = new Set(classes.map(String));
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-class]"))) part.classList.toggle("lit", wanted.has(part.dataset["class"] ?? ""));
  light([...new Set(classes)]);
}

document.addEventListener("pointerover", (event) => hear(event.target));
document.addEventListener("focusin", (event) => hear(event.target));

/** What is on the page for a class says so itself; within a chart the chart tells. @param {EventTarget | null} target */
function hear(target) {
  if (!(target instanceof Element) || target.closest(".plot")) return;
  const part = target.closest("[data-class]");
  lit(part instanceof HTMLElement ? [Number(part.dataset["class"])] : []);
}
