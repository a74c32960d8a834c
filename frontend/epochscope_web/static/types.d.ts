// What travels through the page: the view, and the service's answers as far as the page reads them.

export type Split = "train" | "val" | "test";
export type Metric = "f1" | "recall" | "precision";
export type By = "batch" | "epoch";
/** How ink grows with the value of a cell. */
export type Ink = "root" | "linear" | "log";
/** How classes stand beside a matrix. */
export type Order = "index" | "name" | "support" | "error" | "similar";
export type Normalise = "none" | "true" | "predicted";
export type Theme = "light" | "dark";
/** How stability is shown: rows of ink, or a small chart a class. */
export type Steadiness = "raster" | "multiples";
export type Status =
  | "running" | "stalled" | "silent" | "lost"
  | "finished" | "failed" | "interrupted" | "terminated";

/** All that a viewer has chosen; the whole of it is in the address. `from` and `to` are steps, half-open. */
export interface View {
  page: "runs" | "run" | "about" | "compare" | "alerts" | "settings" | "lost";
  run: string;
  runs: string[];
  q: string;
  /** How the list of runs is sorted, as the service takes it; "": newest first. */
  sort: string;
  /** The columns of the list of runs; null: those that fit most trainings. */
  columns: string[] | null;
  /** The param by which the list of runs is grouped; "": by none. */
  group: string;
  /** Of the page of alerts: only of this project, only of this rule, only those that are on. */
  project: string;
  kind: string;
  on: boolean;
  split: Split;
  metric: Metric;
  by: By;
  width: number | null;
  from: number | null;
  to: number | null;
  epoch: number | null;
  normalise: Normalise;
  /** Whether the diagonal of the matrix has ink. */
  diagonal: "show" | "hide";
  ink: Ink;
  order: Order;
  /** What is looked for among the confusions. */
  find: string;
  /** The class that has the page to itself, by index. */
  class: number | null;
  focus: number[] | null;
  /** The cell of the matrix that is followed over time: true and predicted class, by index. */
  cell: [number, number] | null;
  steadiness: Steadiness;
  rows: number | null;
  /** Which series have a chart; none: those that matter most. */
  keys: string[];
  /** Which split of the series is shown; "": training and validation. */
  of: Split | "";
  /** What stands on the x axis of series; "": steps, or epochs by epoch. */
  x: "" | "step" | "epoch" | "samples" | "time";
  /** Weight of the moving average; 0: none. */
  smooth: number;
  /** Series are shown as means of so many values; 1: as they are. */
  sliding: number;
  log: boolean;
  /** Whether the y axis leaves out what lies far from the rest. */
  inliers: boolean;
  /** Whether running means stand beside the values of each batch. */
  running: boolean;
  /** Whether series are shown of the chosen window alone. */
  zoom: boolean;
  /** Of runs that differ by their seeds: each by itself, or all of a group as their mean and spread. */
  seeds: "apart" | "together";
  /** The run that others are compared with. */
  baseline: string;
  /** The window that is compared with that of the view. */
  second: { epoch: number | null; from: number | null; to: number | null } | null;
  /** The axes of parallel coordinates; null: those that matter most. */
  axes: string[] | null;
  colour: string;
  /** Stretches of these axes that runs must pass: "name:low:high". */
  brush: string[];
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
  /** Worked out once an epoch; null before the first look, empty where there are no classes. */
  glance: Glance | Record<string, never> | null;
}

export interface OfClass { class_name: string; value: number; }
/** The course of macro F1, the class of the least F1 now, the largest certified drop of recall in training. */
export interface Glance { split: Split; macro_f1: (number | null)[]; worst: OfClass | null; drop: OfClass | null; }

export type AlertKind = "change" | "drop" | "below" | "nan" | "stalled" | "lost";

/** Something that the rules of a project have found in a run; `window`: the steps `[from, to)` to look at to see it. */
export interface Alert {
  id: number;
  run: string;
  run_name: string;
  project: string;
  kind: AlertKind;
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
/** A page of the alerts of all runs. */
export interface AlertPage { alerts: Alert[]; next: string | null; }
export interface Rule { kind: AlertKind; at: number | null; split: "train" | "val"; metric: Metric; classes: string[]; after_epoch: number; send: boolean; }
export interface Rules { project: string; set: boolean; rules: (Rule & { says: string })[]; webhooks: string[]; }
/** What the service is and what it keeps its runs in. */
export interface Service { version: string; python: string; store: string; where: string; bytes: number | null; schema: string; runs: number; started_ms: number; }
export interface Fields { params: { name: string; kinds: string[] }[]; summary: { name: string; kinds: string[] }[]; }

export interface Run extends ListedRun {
  outputs: { name: string; class_names: string[]; labels?: boolean }[];
  splits: Split[];
  series: Series[];
  spans: Span[];
  attempts: { split: Split; attempt: number; from: number; to: number }[];
  processes: number;
  environment: Record<string, string>;
  missing: Partial<Record<"lost" | "thinned" | "dropped" | "refused", number>>;
}

/** What a chart asks for: the name of a figure, and its query; what is null, undefined or "" is left out. */
export type FigureName = "cell" | "class" | "mistakes" | "classes" | "confusion" | "compare" | "series" | "stability" | "gap" | "groups" | "deltas" | "parallel";
export type Query = Record<string, string | number | string[] | null | undefined>;

export interface RunPage { runs: ListedRun[]; next: string | null; }

export interface Counts { split: Split; class_names: string[]; from: number; to: number; counts: number[][]; }

export interface InFocus { index: number; name: string; run?: string; colour: string; dash?: string; value: number | null; low: number | null; high: number | null; }
/** `covered`: the share of all that was wrong, up to this one in its list. */
export interface Confused { true: number; predicted: number; count: number; of: number; called: number; share: number; low: number; high: number; covered: number; }
export interface ConfusedList { split: Split; from: number; to: number; total: number; right: number; different: number; confused: Confused[]; }
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

/** What is read of a class in the answer about stability, and of the rates of one window. */
export interface ClassStability {
  class_name: string;
  learnt_at: number | null;
  certified_drop: { value: number };
  changes: { kind: ListedChange["kind"]; direction: "drop" | "rise"; from: number; to: number; at: number; before: { value: number | null }; after: { value: number | null }; taken_for: string | null; near: { says: string }[] }[];
}
export interface Stable { classes: ClassStability[]; }
export interface Rates { value: (number | null)[][]; low: (number | null)[][]; high: (number | null)[][]; }
export interface ClassRates { support: number[][]; recall: Rates; precision: Rates; f1: Rates; }

/** Many runs by their params and results. */
export interface Many {
  axes: { name: string; says: string; kind: "number" | "log" | "category"; low: number; high: number; categories: string[] }[];
  table: { id: string; name: string; kept: boolean; words: string[]; numbers: (number | null)[] }[];
}

/** Classes that move from block to block more than chance, in percentage points, and those seen too seldom to tell. */
export interface Movement { unstable: { index: number; name: string; points: number }[]; thin: string[]; }

/** What a figure says about itself: the windows behind its points, and what stands out in it. */
export interface Meta {
  empty?: boolean;
  summary: string;
  x?: "step" | "epoch" | "samples" | "time";
  from?: number | number[];
  to?: number | number[];
  epoch?: number | number[] | null;
  focus?: InFocus[];
  total?: number;
  right?: number;
  count?: number;
  largest?: (Confused | Changed)[];
  /** Pairs of classes that were confused. */
  different?: number;
  /** Of a matrix, the class at each place. */
  order?: number[];
  /** Of a matrix of very many classes: how many squares are along a side at most, and how many classes each is for. */
  map?: { squares: number; side: number };
  unit?: string;
  rows?: number[];
  folded?: number;
  charts?: [number, number];
  changes?: ListedChange[];
  movement?: Movement;
  /** Of parallel coordinates: the axes, what colours the lines, each run with its values in the order of the axes. */
  axes?: Many["axes"];
  colour?: string | null;
  table?: Many["table"];
  /** What has to be said of a chart beside what it shows. */
  notes?: string[];
  split?: Split;
  /** By what places on the x axis are divided. */
  scaled?: number;
  /** Whether the steps are not those of training. */
  own?: boolean;
  /** Places on the x axis that stand for known steps. */
  places?: { step: number[]; x: number[] } | null;
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
  /** The stretch of the x axis that is shown; left out: all of it. */
  range?: [number, number] | null;
  /** Where the pointer is on the x axis; null: nowhere. */
  onPoint?: (x: number | null) => void;
  /** false: the page names the lines itself. */
  legend?: boolean;
  /** A stretch of the x axis is being chosen (`done` false) or has been (`done` true); null: none any more. */
  onBrush?: (range: [number, number] | null, done: boolean, upright?: [number, number]) => void;
  /** A point was clicked. */
  onPick?: (x: number) => void;
  /** A cell of a matrix was clicked: row and column. */
  onCell?: (row: number, column: number, told?: unknown) => void;
  /** A name beside an axis of a matrix was clicked, or the mouse is over a cell (null: over none): places on the axes. */
  onName?: (place: number) => void;
  /** The mouse is over the line of a class (null: over none). */
  onClass?: (index: number | null) => void;
  onHover?: (places: [number, number] | null) => void;
  /** The reader has zoomed or moved what is seen of the axes, or shows all of them again. */
  onZoom?: (across: [number, number], upright: [number, number]) => void;
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
  /** A key was pressed that the page may know (keys.js); whether it did. */
  act?: (action: string) => boolean;
}
