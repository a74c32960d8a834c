// What a page does that asks once and shows the answer: waiting, loading, an error with another try, what is from before.

import * as api from "../api.js";
import { fill, h } from "./element.js";

const RETRY_MS = 4000;

/**
 * Ask, and show; one question at a time, and after an error again by itself where that may help.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} ask
 * @param {(answer: T) => void} show
 */
export function asking(ask, show) {
  const trouble = h("div", { class: "trouble", role: "alert" });
  /** @type {AbortController | null} */
  let asked = null;
  let again = false;
  let closed = false;
  let answered = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry;

  async function load() {
    clearTimeout(retry);
    if (asked) {
      again = true;
      return;
    }
    const mine = (asked = new AbortController());
    try {
      const answer = await ask(mine.signal);
      if (mine.signal.aborted) return;
      trouble.replaceChildren();
      answered = true;
      show(answer);
    } catch (error) {
      if (mine.signal.aborted) return;
      const text = error instanceof Error ? error.message : String(error);
      fill(trouble, h("p", {}, answered ? `${text} What you see is from before.` : text), h("button", { type: "button", onclick: () => void load() }, "Try again"));
      if (!(error instanceof api.ApiError) || error.status === 0 || error.status >= 500) retry = setTimeout(() => !closed && void load(), RETRY_MS);
    }
    asked = null;
    if (again) {
      again = false;
      void load();
    }
  }

  return {
    trouble,
    load,
    /** Ask anew, whatever is asked now: its answer is out of date. */
    anew() {
      asked?.abort();
      asked = null;
      void load();
    },
    close() {
      closed = true;
      clearTimeout(retry);
      asked?.abort();
    },
  };
}
