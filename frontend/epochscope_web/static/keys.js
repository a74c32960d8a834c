// The keys of the page, on one table: what listens for them and what the help shows are both made from it.

/**
 * @typedef {"everywhere" | "list" | "run"} Where
 * @typedef {{ keys: string, action: string, says: string, where: Where }} Key
 */

/** `keys`: as `event.key`, several pressed one after another with a blank between. @type {readonly Key[]} */
export const KEYS = Object.freeze([
  { keys: "?", action: "help", says: "show these keys", where: "everywhere" },
  { keys: "/", action: "search", says: "search: runs, or the classes of a run", where: "everywhere" },
  { keys: "g r", action: "go runs", says: "go to the runs", where: "everywhere" },
  { keys: "g a", action: "go alerts", says: "go to the alerts", where: "everywhere" },
  { keys: "g s", action: "go settings", says: "go to the settings", where: "everywhere" },
  { keys: "Escape", action: "escape", says: "close what is open; leave a field", where: "everywhere" },
  { keys: "j", action: "next", says: "next run", where: "list" },
  { keys: "k", action: "previous", says: "run before", where: "list" },
  { keys: "Enter", action: "open", says: "open the run", where: "list" },
  { keys: "x", action: "pick", says: "pick the run, or let it go", where: "list" },
  { keys: "c", action: "compare", says: "compare the picked runs", where: "list" },
  { keys: "j", action: "next", says: "next class in focus", where: "run" },
  { keys: "k", action: "previous", says: "class before in focus", where: "run" },
  { keys: "[", action: "earlier", says: "move the window back by its own length, or to the epoch before", where: "run" },
  { keys: "]", action: "later", says: "move it on", where: "run" },
  { keys: "t", action: "table", says: "show the numbers as a table, or hide them", where: "run" },
  { keys: "c", action: "compare", says: "pick this run and choose another to compare", where: "run" },
  { keys: "i", action: "about", says: "what the run was: params, model, environment", where: "run" },
]);

const PATIENCE_MS = 1500; // between the keys of one word

/**
 * Listen for the keys, wherever they are pressed but in a field.
 * @param {(action: string) => boolean} act whether the action was done
 */
export function listen(act) {
  let begun = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let patience;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target instanceof Element && event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      if (act("escape")) event.preventDefault();
      else if (field instanceof HTMLElement) field.blur();
      return;
    }
    if (field || event.key === "Enter") return; // Enter opens the link that has the focus, without us
    const pressed = begun ? `${begun} ${event.key}` : event.key;
    clearTimeout(patience);
    begun = "";
    const found = KEYS.find(({ keys }) => keys === pressed);
    if (found) {
      if (act(found.action)) event.preventDefault();
    } else if (KEYS.some(({ keys }) => keys.startsWith(`${pressed} `))) {
      begun = pressed;
      patience = setTimeout(() => (begun = ""), PATIENCE_MS);
    }
  });
}
