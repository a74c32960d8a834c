// News from the service, by the best way this browser has: a stream shared by all pages, one of its own, or polling.

/** @import {LiveMessage} from "./types.d.ts" */

const POLL_MS = 3000;
const PATIENCE_MS = 10000; // a proxy may hold back a stream for ever; then polling is better than waiting

/**
 * Call `hear` with every piece of news, for as long as the page lives.
 * @param {(message: LiveMessage) => void} hear
 */
export function live(hear) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let patience;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let polling;
  /** @param {LiveMessage} message */
  const pass = (message) => {
    if (message.kind === "state") {
      if (message.state !== "live") wait();
      else {
        clearTimeout(patience);
        clearInterval(polling);
        patience = polling = undefined;
      }
    }
    hear(message);
  };
  const wait = () => {
    patience ??= setTimeout(() => {
      polling = setInterval(() => hear({ kind: "run", run: "" }), POLL_MS);
      hear({ kind: "state", state: "polling" });
    }, PATIENCE_MS);
  };
  wait();
  try {
    shared(pass);
  } catch {
    own(pass);
  }
}

/** @param {(message: LiveMessage) => void} hear */
function shared(hear) {
  const worker = new SharedWorker("/live-worker.js", { name: "epochscope live" });
  worker.onerror = () => own(hear); // it could not be loaded
  worker.port.onmessage = (event) => hear(event.data);
  worker.port.start();
  addEventListener("pagehide", () => worker.port.postMessage("goodbye"));
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // out of the browser's cache: its port is gone
  });
}

/** @param {(message: LiveMessage) => void} hear */
function own(hear) {
  const source = new EventSource("/api/v1/live");
  source.onopen = () => {
    hear({ kind: "state", state: "live" });
    hear({ kind: "run", run: "" }); // whatever happened while nobody listened
  };
  source.onerror = () => {
    hear({ kind: "state", state: "down" });
    if (source.readyState === EventSource.CLOSED) setTimeout(() => own(hear), PATIENCE_MS);
  };
  source.addEventListener("run", (event) => hear({ kind: "run", run: JSON.parse(event.data).run }));
}
