// Whose turn it is to draw: the first chart is seen before the last is drawn, and small ones share a frame.

const FRAME_MS = 30; // of drawing, after which what is drawn is to be seen

/** @type {Promise<unknown>} */
let line = Promise.resolve();
let began = 0; // when the last frame was waited for

/** Resolves when it is the caller's turn, after what was drawn in the turns before. @returns {Promise<unknown>} */
export function turn() {
  const mine = line;
  line = mine.then(rest);
  return mine;
}

/** Until the chart whose turn it was is drawn, and is to be seen if that took long. */
function rest() {
  return new Promise((resolve) => {
    const next = () => {
      began = performance.now();
      resolve(null);
    };
    setTimeout(() => {
      if (performance.now() - began < FRAME_MS) resolve(null);
      else if (document.hidden) next(); // there are no frames
      else requestAnimationFrame(() => setTimeout(next));
    });
  });
}
