// One stream of news for all pages of this browser: a browser keeps at most six connections to a service,
// so a seventh page with a stream of its own could not even load.

/** @import {LiveMessage} from "./types.d.ts" */

/** @type {Set<MessagePort>} */
const pages = new Set();
/** @type {EventSource | null} */
let source = null;
/** @type {LiveMessage} */
let state = { kind: "state", state: "connecting" };
let wait = 1000;

/** @param {LiveMessage} message */
function tell(message) {
  if (message.kind === "state") state = message;
  for (const page of pages) page.postMessage(message);
}

function listen() {
  source = new EventSource("/api/v1/live");
  source.onopen = () => {
    wait = 1000;
    tell({ kind: "state", state: "live" });
    tell({ kind: "run", run: "" }); // whatever happened while nobody listened
  };
  source.addEventListener("run", (event) => tell({ kind: "run", run: JSON.parse(event.data).run }));
  source.onerror = () => {
    tell({ kind: "state", state: "down" });
    if (source?.readyState !== EventSource.CLOSED) return; // it connects again by itself
    setTimeout(listen, wait);
    wait = Math.min(wait * 2, 30000);
  };
}

addEventListener("connect", (event) => {
  const page = /** @type {MessageEvent} */ (event).ports[0];
  if (!page) return;
  pages.add(page);
  page.onmessage = () => {
    pages.delete(page); // the page says goodbye
    if (pages.size || !source) return;
    source.close();
    source = null;
  };
  if (source) page.postMessage(state);
  else listen();
});
