// What the page keeps of a run, from the JSON of `rose_cli.report.data`: numbers decoded, a style for each learner.

async function readReport() {
  const block = document.getElementById("data");
  if (block.type !== "application/gzip") return JSON.parse(block.textContent);
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot read compressed data: use one from 2023 or later, or `rose report --format md`");
  }
  const packed = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const WORDS = { nan: NaN, inf: Infinity, "-inf": -Infinity };

// A number for drawing, or null: JSON has no nan, and integers beyond 2**53 come as text
function numeric(value) {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "string") return null;
  if (value in WORDS) return WORDS[value];
  return /^-?\d{16,400}$/.test(value) ? Number(value) : null;
}

// Times come as differences in whole units, as `_packed_run` in html.py writes them
function unpack(steps, unit) {
  let total = 0;
  return steps.map((step) => Number(((total += step) * unit).toFixed(3)));
}

function unpackBest(references, values) {
  let last = null;
  return references.map((each, place) => (last = each === "=" ? last : each === "v" ? values[place] : each));
}

const isDrawn = (value) => typeof value === "number" && Number.isFinite(value);

const COLOURS = 8;
const DASHES = ["solid", [7, 3], [2, 2], [10, 3, 2, 3]];
const MOST_COLOURED = 16;
const BEST_COLOURED = 8;

// Which colour and dashes the learner at a place of the ranking has; null: one of the many in grey
function styleOf(place, learners) {
  if (place >= (learners <= MOST_COLOURED ? MOST_COLOURED : BEST_COLOURED)) return null;
  return { colour: place % COLOURS, dash: DASHES[(place + Math.floor(place / COLOURS)) % DASHES.length] };
}

class RunModel {
  constructor(run) {
    Object.assign(this, run);
    this.listeners = [];
    this.lit = null;
    this.hidden = new Set();
    const { unit } = run;
    const times = (units) => units.map((each) => Number((each * unit).toFixed(3)));
    this.tasks = { ...run.tasks, start: unpack(run.tasks.start, unit), seconds: times(run.tasks.seconds), waited: times(run.tasks.waited) };
    this.learners = run.learners.map((learner, place) => ({
      ...learner,
      ended: unpack(learner.ended, unit),
      seconds: unpack(learner.seconds, unit),
      core_seconds: unpack(learner.core_seconds, unit),
      place,
      label: shorten(learner.name, 48),
      style: styleOf(place, run.learners.length),
      numbers: learner.values.map(numeric),
      bests: unpackBest(learner.best, learner.values).map(numeric),
    }));
    this.criteria = run.criteria.map((criterion) => ({ ...criterion, threshold: numeric(criterion.threshold) }));
    this.metrics = [...new Set(run.criteria.map((criterion) => criterion.metric))];
    this.isRunning = Boolean(run.alive);
  }

  metricOf(learner) {
    return learner.criterion == null ? null : this.criteria[learner.criterion].metric;
  }

  // The learners that have values of a metric, with these values
  curvesOf(metric) {
    return this.learners.flatMap((learner) => {
      if (this.metricOf(learner) === metric) return [learner];
      const own = learner.further.find((each) => this.criteria[each.criterion].metric === metric);
      return own ? [{ ...learner, criterion: own.criterion, numbers: own.values.map(numeric), bests: own.best.map(numeric), best_at: own.best_at, is_best: false }] : [];
    });
  }

  valueText(learner, place) {
    return numberText(learner.numbers[place]);
  }

  // The value of an option or a reported value in the iteration at a place
  columnValue(column, learner, place) {
    const values = column.values[learner.place];
    return Array.isArray(values) ? values[place] : values;
  }

  // Tells every chart and table which learner the reader looks at
  light(place) {
    if (place === this.lit) return;
    this.lit = place;
    this.tell("lit");
  }

  show(places, isShown) {
    for (const place of places) isShown ? this.hidden.delete(place) : this.hidden.add(place);
    this.tell("shown");
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }
}
