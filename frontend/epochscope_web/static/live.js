// News from the service, by the best way this browser has: a stream shared by all pages, one of its own, or polling.

/** @import {LiveMessage} from "./types.d.ts" */

const POLL_MS = 3000;
const PATIENCE_MS = 10000; // a proxy may hold back a stream for ever; then polling is better than waiting

/**
 * Call `hear` with every piece of news, for as long as the page lives.
 * @param {(message: LiveMessage) => void} hear
 */
export function live(hear) {
  let opened = false;
  let stop = () => {};
  /** @param {LiveMessage} message */
  const pass = (message) => {
    if (message.kind === "state" && message.state === "live") opened = true;
    hear(message);
  };
  try {
    stop = shared(pass);
  } catch {
    stop = own(pass);
  }
  setTimeout(() => {
    if (opened) return;
    stop();
    poll(hear);
  }, PATIENCE_MS);
}

/** @param {(message: LiveMessage) => void} hear @returns {() => void} */
function shared(hear) {
  const worker = new SharedWorker("/live-worker.js", { name: "epochscope live" });
  worker.port.onmessage = (event) => hear(event.data);
  worker.port.start();
  const leave = () => worker.port.postMessage("goodbye");
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // out of the browser's cache: its port is gone
  });
  return leave;
}

/** @param {(message: LiveMessage) => void} hear @returns {() => void} */
function own(hear) {
  const source = new EventSource("/api/v1/live");
  source.onopen = () => {
    hear({ kind: "state", state: "live" });
    hear({ kind: "run", run: "" });
  };
  source.onerror = () => hear({ kind: "state", state: "down" });
  source.addEventListener("run", (event) => hear({ kind: "run", run: JSON.parse(event.data).run }));
  return () => source.close();
}

/** @param {(message: LiveMessage) => void} hear */
function poll(hear) {
  hear({ kind: "state", state: "polling" });
  setInterval(() => hear({ kind: "run", run: "" }), POLL_MS);
}
