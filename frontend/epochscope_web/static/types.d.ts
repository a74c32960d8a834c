// What travels through the page: the view, and the service's answers as far as the page reads them.

export type Split = "train" | "val" | "test";
export type Metric = "f1" | "recall" | "precision";
export type By = "batch" | "epoch";
export type Normalise = "none" | "true" | "predicted";
export type Theme = "light" | "dark";
/** How stability is shown: rows of ink, or a small chart a class. */
export type Steadiness = "raster" | "multiples";
export type Status =
  | "running" | "stalled" | "silent" | "lost"
  | "finished" | "failed" | "interrupted" | "terminated";

/** All that a viewer has chosen; the whole of it is in the address. `from` and `to` are steps, half-open. */
export interface View {
  page: "runs" | "run" | "compare" | "lost";
  run: string;
  runs: string[];
  q: string;
  /** How the list of runs is sorted, as the service takes it; "": newest first. */
  sort: string;
  split: Split;
  metric: Metric;
  by: By;
  width: number | null;
  from: number | null;
  to: number | null;
  epoch: number | null;
  normalise: Normalise;
  focus: number[] | null;
  /** The cell of the matrix that is followed over time: true and predicted class, by index. */
  cell: [number, number] | null;
  steadiness: Steadiness;
  rows: number | null;
  key: string;
  smooth: number;
  output: string;
  label: string;
  theme: Theme | "system";
}

/** `keep_days` after a run was last heard of it is deleted; null: never. */
export interface Project { name: string; runs: number; keep_days: number | null; due: number; removed: number; removed_ms: number | null; }
export interface Projects { projects: Project[]; }

export interface Span { split: Split; epoch: number; from: number; to: number; }
export interface Series { key: string; split: Split; by: By | "run"; }

export interface ListedRun {
  id: string;
  project: string;
  name: string;
  status: Status;
  reason: string;
  started_ms: number;
  heard_ms: number;
  ended_ms: number | null;
  params: Record<string, unknown>;
  tags: string[];
  notes: string;
  archived: boolean;
  group: string;
  epochs: number | null;
  batches_per_epoch: number | null;
  capture: string;
  rev: number;
  steps: Partial<Record<Split, number>>;
  epoch: number;
  summary: Record<string, number | string | null>;
  outputs: { name: string; classes?: number }[];
  /** How many alerts were found, and how many of them are on. */
  alerts: { all: number; on: number };
}

/** Something that the rules of a project have found in a run; `window`: the steps `[from, to)` to look at to see it. */
export interface Alert {
  id: number;
  kind: "change" | "drop" | "below" | "nan" | "stalled" | "lost";
  says: string;
  class_name: string | null;
  output: string | null;
  split: Split;
  window: { from: number; to: number } | null;
  found_ms: number;
  on: boolean;
  ended_ms: number | null;
  back: number | null;
  sent: { to: string; state: "waiting" | "sending" | "sent" | "failed" | "unanswered"; says: string }[];
}

export interface AlertList { alerts: Alert[]; rules: string[]; }

export interface Run extends ListedRun {
  outputs: { name: string; class_names: string[]; labels?: boolean }[];
  splits: Split[];
  series: Series[];
  spans: Span[];
  attempts: { split: Split; attempt: number; from: number; to: number }[];
  processes: number;
  missing: Partial<Record<"lost" | "thinned" | "dropped" | "refused", number>>;
}

/** What a chart asks for: the name of a figure, and its query; what is null, undefined or "" is left out. */
export type FigureName = "cell" | "classes" | "confusion" | "compare" | "series" | "stability" | "gap" | "groups";
export type Query = Record<string, string | number | string[] | null | undefined>;

export interface RunPage { runs: ListedRun[]; next: string | null; }

export interface Counts { split: Split; class_names: string[]; from: number; to: number; counts: number[][]; }

export interface InFocus { index: number; name: string; run?: string; colour: string; dash?: string; value: number | null; low: number | null; high: number | null; }
export interface Confused { true: number; predicted: number; count: number; of: number; share: number; }
export interface Changed { true: number; predicted: number; difference: number; a: number; b: number; better: boolean; }

export interface Rated { value: number | null; low: number | null; high: number | null; n: number; }
/** A change of a class's recall, as figures list it; `window`: the steps `[from, to)` to look at to see it. */
export interface ListedChange {
  index: number;
  name: string;
  kind: "drop" | "recovery" | "learning";
  direction: "drop" | "rise";
  from: number;
  to: number;
  at: number;
  window: [number, number];
  before: Rated;
  after: Rated;
  taken_for: string | null;
  unseen: boolean;
  mix: { name: string; before: number; after: number }[];
  mix_explains: boolean;
  near: string[];
}

/** Classes that move from block to block more than chance, in percentage points, and those seen too seldom to tell. */
export interface Movement { unstable: { index: number; name: string; points: number }[]; thin: string[]; }

/** What a figure says about itself: the windows behind its points, and what stands out in it. */
export interface Meta {
  empty?: boolean;
  summary: string;
  x?: "step" | "epoch";
  from?: number | number[];
  to?: number | number[];
  epoch?: number | number[] | null;
  focus?: InFocus[];
  total?: number;
  right?: number;
  count?: number;
  largest?: (Confused | Changed)[];
  unit?: string;
  rows?: number[];
  folded?: number;
  charts?: [number, number];
  changes?: ListedChange[];
  movement?: Movement;
}

export interface Figure { data: object[]; layout: Record<string, unknown> & { meta: Meta }; }

/** Where a figure's points come from: window `i` is steps `[from[i], to[i])`. */
export interface Windows { x: "step" | "epoch"; from: number[]; to: number[]; epoch: number[] | null; }

/** Marks that the page lays over a figure, in the units of its x axis. */
export interface Marks { lines: { at: number; text: string; short: string }[]; window: [number, number] | null; }

export interface Drawing {
  marks?: Marks;
  /** The cell of a matrix that is followed: row and column. */
  cell?: [number, number] | null;
  /** false: the page names the lines itself. */
  legend?: boolean;
  /** A stretch of the x axis is being chosen (`done` false) or has been (`done` true); null: none any more. */
  onBrush?: (range: [number, number] | null, done: boolean) => void;
  /** A point was clicked. */
  onPick?: (x: number) => void;
  /** A cell of a matrix was clicked: row and column. */
  onCell?: (row: number, column: number) => void;
}

export type LiveState = "live" | "connecting" | "polling" | "down";
/** `run` "" means: something may have changed, nobody knows what. */
export type LiveMessage = { kind: "run"; run: string } | { kind: "state"; state: LiveState };

/** What a page may ask of the loop in main.js. */
export interface Loop {
  view: () => View;
  /** Change the view. "push" makes a step of the history, "replace" none, "drag" none until the next "push". */
  go: (change: Partial<View>, how?: "push" | "replace" | "drag") => void;
  theme: () => Theme;
  href: (change: Partial<View>) => string;
}

/** One page of the dashboard, as main.js holds it. */
export interface Page {
  element: HTMLElement;
  /** The view changed: show it. */
  show: (view: View) => void;
  /** Something may be new in the runs shown: ask again. */
  refresh: () => void;
  /** Whether news of this run concern the page. */
  concerns: (run: string) => boolean;
  /** The page is left: give up what is under way. */
  close: () => void;
}
