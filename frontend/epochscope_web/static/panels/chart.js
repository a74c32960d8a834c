// One chart: its title, its one-sentence summary, the plot, and what is said while there is none.

/** @import {Drawing, Figure, FigureName, Query} from "../types.d.ts" */
import { ApiError, figure } from "../api.js";
import { draw, erase, mark, prepare, turn } from "../draw.js";
import { fill, h, say } from "./element.js";
import { saving } from "./save.js";

const RETRY_MS = 4000;
const MARGIN = 200; // pixels out of sight: so near, a chart is drawn already
let number = 0;

/** Asks for its figure when it comes into sight, at most once at a time, and never draws an answer that is stale. */
export class Chart {
  /** @type {AbortController | null} */
  #asked = null;
  /** What is asked for now, or was last. */
  #key = "";
  /** Whether there is something to ask for. */
  #stale = false;
  #visible = false;
  #shown = false;
  /** @type {Figure | null} */
  #figure = null;
  /** @type {{ name: FigureName, query: Query, drawing: () => Drawing } | null} */
  #wanted = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** Settles when what is under way is drawn. @type {Promise<void>} */
  #done = Promise.resolve();
  /** The chart that the reader waits for first, where both are asked for at once. @type {Chart | null} */
  after = null;

  /**
   * @param {string} title
   * @param {string} kind a CSS class: decides the height
   * @param {(figure: Figure) => void} [told] called with every figure before it is drawn
   */
  constructor(title, kind, told) {
    const id = `chart-${(number += 1)}`;
    this.told = told;
    this.title = h("h2", { id }, title);
    this.note = h("p", { class: "note" });
    this.tools = h("div", { class: "tools" });
    this.plot = h("div", { class: "plot", role: "group", "aria-roledescription": "chart", "aria-labelledby": id, "aria-describedby": `${id}-says` });
    this.summary = h("p", { class: "unseen", id: `${id}-says` });
    this.saving = saving(this.plot, () => this.title.textContent ?? "", () => this.summary.textContent ?? "");
    this.tools.append(this.saving.element);
    this.veil = h("div", { class: "veil skeleton", "aria-hidden": "true" });
    this.element = h(
      "figure",
      { class: `chart ${kind}`, "aria-labelledby": id },
      h("figcaption", {}, h("div", { class: "heading" }, this.title, this.note), this.tools),
      h("div", { class: "stage" }, this.plot, this.veil),
      this.summary,
    );
    this.sight = new IntersectionObserver(
      ([entry]) => {
        this.#visible = entry?.isIntersecting ?? false;
        void this.#start();
      },
      { rootMargin: `${MARGIN}px` },
    );
    this.sight.observe(this.element);
  }

  /**
   * Show a figure. The same query again asks only where there are news, and then waits for an answer under way;
   * another query makes that answer stale.
   * @param {FigureName} name
   * @param {Query} query
   * @param {boolean} news
   * @param {() => Drawing} [drawing]
   */
  show(name, query, news, drawing = () => ({})) {
    const key = JSON.stringify([name, query]);
    this.#wanted = { name, query, drawing };
    if (this.#key === key && !news) {
      if (this.#shown) mark(this.plot, drawing());
      return;
    }
    if (this.#asked && this.#key !== key) {
      this.#asked.abort();
      this.#asked = null;
    }
    this.#key = key;
    this.#stale = true;
    this.#visible ||= near(this.element); // the observer says so only in a later frame
    void this.#start();
  }

  close() {
    this.#asked?.abort();
    this.#wanted = null;
    clearTimeout(this.#retry);
    this.sight.disconnect();
    void erase(this.plot);
  }

  /** Tell once more of the figure that is drawn. */
  again() {
    if (this.#figure) this.told?.(this.#figure);
  }

  /** Say something instead of a figure. @param {string} text */
  tell(text) {
    this.#asked?.abort();
    this.#asked = null;
    this.#wanted = null;
    this.#key = "";
    this.#stale = false;
    this.#cover("empty", text);
  }

  async #start() {
    const wanted = this.#wanted;
    if (!wanted || !this.#stale || !this.#visible || this.#asked) return;
    clearTimeout(this.#retry);
    const asked = new AbortController();
    this.#asked = asked;
    this.#stale = false;
    this.element.setAttribute("aria-busy", "true");
    let done = () => {};
    this.#done = new Promise((resolve) => (done = resolve));
    try {
      if (this.#shown && this.after) await this.after.#done;
      if (asked.signal.aborted) return;
      const [drawn] = await Promise.all([figure(wanted.name, wanted.query, asked.signal), prepare()]);
      if (!drawn.layout.meta.empty) await turn();
      if (asked.signal.aborted) return;
      await this.#draw(drawn);
      if (!drawn.layout.meta.empty) this.saving.of(wanted.name, wanted.query);
    } catch (error) {
      if (asked.signal.aborted) return;
      this.#fail(error);
    } finally {
      done();
    }
    if (this.#asked !== asked) return;
    this.element.removeAttribute("aria-busy");
    this.#asked = null;
    void this.#start();
  }

  /** @param {Figure} figure */
  async #draw(figure) {
    const { meta } = figure.layout;
    say(this.summary, meta.summary);
    this.#figure = figure;
    this.told?.(figure);
    if (meta.empty) {
      this.#cover("empty", meta.summary);
      return;
    }
    await draw(this.plot, figure, this.#wanted?.drawing());
    this.#shown = true;
    this.veil.hidden = true;
    this.plot.classList.remove("covered");
  }

  /** @param {unknown} error */
  #fail(error) {
    const known = error instanceof ApiError;
    const text = known ? error.message : `This chart could not be drawn: ${error instanceof Error ? error.message : error}`;
    this.#cover("error", text);
    if (!known || error.status === 0 || error.status >= 500 || error.status === 429) {
      this.#retry = setTimeout(() => this.#ask(), RETRY_MS);
    }
  }

  /** Ask once more for what could not be shown. */
  #ask() {
    this.#stale = true;
    void this.#start();
  }

  /** @param {"empty" | "error"} kind @param {string} text */
  #cover(kind, text) {
    this.saving.element.hidden = true;
    this.veil.className = `veil ${kind}`;
    this.veil.hidden = false;
    this.veil.removeAttribute("aria-hidden");
    this.plot.classList.toggle("covered", true);
    fill(this.veil, h("p", {}, text), kind === "error" && h("button", { type: "button", onclick: () => this.#ask() }, "Try again"));
  }
}

/** Whether an element is in sight, or nearly. @param {Element} element */
function near(element) {
  const { top, bottom, width } = element.getBoundingClientRect();
  return width > 0 && bottom > -MARGIN && top < innerHeight + MARGIN;
}
