// Tables that can be sorted, the failures, and what was run.

// `columns`: [{head, unit, cell(row), text(row), number}]; a click on a heading sorts, values that are missing come last
function sortedTable(label, columns, rows, { onrow = () => {}, sortedBy = null } = {}) {
  const body = element("tbody");
  const lines = rows.map((row) => {
    const line = element("tr", {}, columns.map((column) => {
      const shown = (column.text ?? column.cell)(row);
      return element(column.isHead ? "th" : "td", { class: column.number ? "number" : column.kind ?? "", scope: column.isHead ? "row" : null }, shown);
    }));
    onrow(line, row);
    return { line, row };
  });
  let order = { column: sortedBy, down: false };
  const sort = (column) => {
    order = { column, down: order.column === column && !order.down };
    const key = (row) => {
      const value = column.cell(row);
      return value == null || (typeof value === "number" && Number.isNaN(value)) ? null : value;
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    const sorted = [...lines].sort((one, two) => {
      const [a, b] = [key(one.row), key(two.row)];
      if (a == null || b == null) return (a == null) - (b == null);
      return order.down ? compare(b, a) : compare(a, b);
    });
    body.append(...sorted.map(({ line }) => line));
    mark();
    announce(`Sorted by ${column.head}, ${order.down ? "descending" : "ascending"}`);
  };
  const heads = columns.map((column) => element("th", { scope: "col", class: column.number ? "number" : column.kind ?? "" },
    column.cell ? element("button", { type: "button", onclick: () => sort(column), title: column.title }, column.head, element("span", { class: "arrow", "aria-hidden": "true" })) : element("span", { class: "unseen" }, column.head)));
  const mark = () => columns.forEach((column, place) => {
    if (column === order.column) heads[place].setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else heads[place].removeAttribute("aria-sort");
  });
  mark();
  body.append(...lines.map(({ line }) => line));
  const table = element("table", {}, element("caption", { class: "unseen" }, label), element("thead", {}, element("tr", {}, heads)), body);
  return { table, lines };
}

function scrolling(label, table, isShort = false) {
  return element("div", { class: isShort ? "scroll" : "scroll tall", tabindex: "0", role: "region", "aria-label": label }, table);
}

// --- the ranking -----------------------------------------------------------------------------------------------------

const SIGNS = { met: "✓", failed: "✗", running: "●", other: "○" };

function stateOf(learner) {
  // with several criteria, the message says which
  if (learner.reason === "criterion_met") return ["met", learner.message ? `met ${shorten(learner.message)}` : "criterion met"];
  if (learner.reason === "no_improvement" && learner.message) return ["other", shorten(learner.message)];
  if (learner.reason === "failed") return ["failed", "failed"];
  const reasons = {
    max_iter: "all iterations done", no_improvement: "no improvement", decided: "stopped by decision",
    pruned: "pruned", cancelled: "cancelled",
  };
  if (learner.reason) return ["other", reasons[learner.reason] ?? shorten(learner.reason.replaceAll("_", " "))];
  return [learner.status === "running" ? "running" : "other", shorten(String(learner.status).replaceAll("_", " "))];
}

// The best and the latest value of each metric that does not rank a learner
function furtherColumns(run) {
  return run.metrics.flatMap((metric) => {
    const further = run.curvesOf(metric).filter((curve) => run.metricOf(run.learners[curve.place]) !== metric);
    const curves = new Map(further.map((curve) => [curve.place, curve]));
    if (!curves.size) return [];
    const best = (learner) => { const curve = curves.get(learner.place); return curve?.best_at == null ? null : curve.numbers[curve.best_at]; };
    const last = (learner) => curves.get(learner.place)?.numbers.findLast((value) => value != null) ?? null;
    const column = (word, title, value) => ({ head: `${word} ${shorten(metric, 24)}`, title: `${title} of ${shorten(metric, 200)}`, cell: value, text: (learner) => numberText(value(learner)), number: true });
    return [column("best", "Best value", best), column("last", "Latest value", last)];
  });
}

function ranking(run) {
  const rank = (learner, order) => learner.places[order] === 1;
  const first = (order, text) => (learner) => (rank(learner, order) ? element("strong", { class: "first", title: "the first" }, text(learner), element("span", { class: "unseen" }, ", the first")) : text(learner));
  const settings = [...new Set(run.learners.flatMap((learner) => Object.keys(learner.settings)))];
  const has = (test) => run.learners.some(test);
  const toggles = new Map();
  const toggle = (learner) => {
    const made = element("button", { type: "button", class: "toggle", "aria-pressed": "true", "aria-label": `Show ${learner.label} in the charts`, onclick: () => run.show([learner.place], run.hidden.has(learner.place)) }, swatch(learner.style));
    toggles.set(learner.place, made);
    return made;
  };
  const columns = [
    { head: "in charts", text: toggle, kind: "toggles" },
    { head: "#", title: "Place by best value", cell: (learner) => learner.places.best ?? null, text: (learner) => learner.places.best ?? NONE, number: true },
    { head: "learner", cell: (learner) => learner.name, text: (learner) => element("span", { title: learner.label.endsWith("…") ? visible(learner.name).slice(0, 500) : null }, learner.label), isHead: true },
    { head: "status", cell: (learner) => stateOf(learner)[1], text: (learner) => element("span", { class: `state ${stateOf(learner)[0]}`, title: learner.message ? shorten(learner.message, 300) : null }, element("span", { "aria-hidden": "true" }, SIGNS[stateOf(learner)[0]]), " ", stateOf(learner)[1]) },
    run.metrics.length > 1 && { head: "metric", cell: (learner) => run.metricOf(learner), text: (learner) => shorten(run.metricOf(learner) ?? NONE, 30) },
    run.metrics.length > 0 && { head: "best", cell: (learner) => (learner.best_at == null ? null : learner.numbers[learner.best_at]), text: (learner) => (learner.best_at == null ? NONE : learner.is_best ? element("strong", {}, run.valueText(learner, learner.best_at)) : run.valueText(learner, learner.best_at)), number: true },
    run.metrics.length > 0 && { head: "at", title: "Iteration of the best value", cell: (learner) => (learner.best_at == null ? null : learner.iterations[learner.best_at]), text: (learner) => (learner.best_at == null ? NONE : learner.iterations[learner.best_at]), number: true },
    run.metrics.length > 0 && { head: "last", title: "Value of the latest iteration", cell: (learner) => learner.numbers.at(-1) ?? null, text: (learner) => numberText(learner.numbers.at(-1)), number: true },
    ...furtherColumns(run),
    ...(has((learner) => learner.met) ? [
      { head: "met after", title: "Iterations until the criterion was met", cell: (learner) => learner.met?.iterations ?? null, text: first("iterations", (learner) => (learner.met ? `${learner.met.iterations} it.` : NONE)), number: true },
      { head: "met in", title: "Time that the learner's tasks had taken when the criterion was met", cell: (learner) => learner.met?.seconds ?? null, text: first("time", (learner) => durationText(learner.met?.seconds)), number: true },
      { head: "met with", title: "Core-hours until the criterion was met", cell: (learner) => learner.met?.core_seconds ?? null, text: first("core-seconds", (learner) => (learner.met ? `${coreHoursText(learner.met.core_seconds)} core-h` : NONE)), number: true },
    ] : []),
    ...settings.map((name) => {
      const isNumber = run.learners.every((learner) => learner.settings[name] == null || typeof learner.settings[name] === "number");
      const plain = (value) => (value == null ? null : typeof value === "object" ? JSON.stringify(value) : value);
      return { head: shorten(name, 32), title: `Option at the best iteration: ${shorten(name, 200)}`, cell: (learner) => plain(learner.settings[name]), text: (learner) => element("code", {}, isNumber ? numberText(learner.settings[name]) : shorten(plain(learner.settings[name]) ?? NONE, 32)), number: isNumber };
    }),
    { head: "iterations", cell: (learner) => learner.used.iterations, text: (learner) => countText(learner.used.iterations), number: true },
    { head: "time", title: "Time that its tasks took", cell: (learner) => learner.used.seconds, text: (learner) => durationText(learner.used.seconds), number: true },
    { head: "core-hours", cell: (learner) => learner.used.core_seconds, text: (learner) => coreHoursText(learner.used.core_seconds), number: true },
    has((learner) => learner.why) && { head: "shown as", cell: (learner) => learner.why, text: (learner) => shorten(learner.why ?? "") },
  ].filter(Boolean);
  const { table, lines } = sortedTable("Ranking of the learners", columns, run.learners, {
    sortedBy: columns[1],
    onrow: (line, learner) => {
      for (const event of ["pointerenter", "focusin"]) line.addEventListener(event, () => run.light(learner.place));
      for (const event of ["pointerleave", "focusout"]) line.addEventListener(event, () => run.light(null));
    },
  });
  run.listeners.push(() => {
    for (const { line, row } of lines) {
      line.classList.toggle("lit", row.place === run.lit);
      line.classList.toggle("off", run.hidden.has(row.place));
      toggles.get(row.place).setAttribute("aria-pressed", String(!run.hidden.has(row.place)));
    }
  });
  return { node: scrolling("Ranking of the learners", table), lines };
}

// What shows only some of the learners, above their table
function chooser(run, lines) {
  const places = (test) => run.learners.filter(test).map((learner) => learner.place);
  const only = (test) => () => {
    run.hidden = new Set(places((learner) => !test(learner)));
    run.tell("shown");
  };
  const choices = [["All", () => true], ["None", () => false]];
  if (run.learners.length > BEST_COLOURED) choices.push([`Best ${BEST_COLOURED}`, (learner) => learner.place < BEST_COLOURED]);
  if (run.learners.some((learner) => learner.met)) choices.push(["Criterion met", (learner) => learner.met]);
  if (run.learners.some((learner) => learner.reason === "failed")) choices.push(["Failed", (learner) => learner.reason === "failed"]);
  const find = element("input", { type: "search", placeholder: "Find a learner", "aria-label": "Find a learner by name", oninput: (event) => {
    const words = event.target.value.toLowerCase().trim();
    for (const { line, row } of lines) line.hidden = !row.name.toLowerCase().includes(words);
  } });
  return element("div", { class: "tools" },
    element("div", { class: "group", role: "group", "aria-label": "Learners in the charts" }, element("span", { class: "label" }, "In the charts"), choices.map(([text, test]) => element("button", { type: "button", onclick: only(test) }, text))),
    run.learners.length > 12 && find);
}

// --- what runs once per campaign --------------------------------------------------------------------------------------

function onceTable(run) {
  const reported = (row) => Object.entries(row.reported).map(([name, value]) => `${name} ${value}`).join(", ");
  const { table } = sortedTable("Once per campaign", [
    { head: "part", cell: (row) => row.name, isHead: true },
    { head: "tasks", cell: (row) => row.tasks.join(", "), text: (row) => shorten(row.tasks.join(", "), 80) },
    { head: "status", cell: (row) => row.status, text: (row) => (row.message ? `${row.status}: ${shorten(row.message, 200)}` : row.status) },
    { head: "time", title: "Time that its tasks took", cell: (row) => row.seconds, text: (row) => (row.seconds ? durationText(row.seconds) : NONE), number: true },
    { head: "core-hours", cell: (row) => row.core_seconds, text: (row) => coreHoursText(row.core_seconds), number: true },
    { head: "reported", cell: reported, text: (row) => shorten(reported(row), 2000) || NONE },
  ], run.once);
  return scrolling("Once per campaign", table, true);
}

// --- failures --------------------------------------------------------------------------------------------------------

function failureList(run) {
  return run.failures.map((failure) => {
    const where = [shorten(failure.learner, 80), failure.where ?? `iteration ${failure.iteration}`, shorten(failure.task, 40), failure.replica > 0 && `replica ${failure.replica}`, failure.attempt > 1 && `attempt ${failure.attempt}`].filter(Boolean).join(" · ");
    const others = failure.attempts > 1 ? `${counted(failure.attempts, "attempt")} failed like this${failure.learners.length > 1 ? `, of ${listed([...failure.learners], 4)}${failure.learners_left_out ? ` and ${countText(failure.learners_left_out)} more` : ""}` : ""}.` : "";
    const ends = [failure.made_good > 0 && (failure.attempts === 1 ? "A retry succeeded." : `${countText(failure.made_good)} of them were followed by an attempt that succeeded.`), failure.final > 0 && (failure.final === 1 ? `The ${failure.learner === "campaign" && ["setup", "finish"].includes(failure.where) ? "campaign" : "learner"} stopped for it.` : `${counted(failure.final, "learner")} stopped for it.`)].filter(Boolean).join(" ");
    return element("article", { class: "failure" },
      element("h3", {}, where),
      element("p", {}, element("strong", { class: "bad" }, `${shorten(failure.kind.replaceAll("_", " "))}: `), visible(failure.message).slice(0, 2000), `, ${durationText(failure.at)} after the start. `, others, " ", ends),
      failure.lines.length > 0 && element("pre", { tabindex: "0", "aria-label": "Last lines" }, failure.lines.map((line) => visible(line).slice(0, 2000)).join("\n")),
      failure.help && element("p", {}, visible(failure.help)),
      element("dl", { class: "facts" },
        failure.log && [element("dt", {}, "log"), element("dd", {}, element("code", {}, visible(failure.path ?? failure.log)))],
        failure.command && [element("dt", {}, "command"), element("dd", {}, element("code", {}, visible(failure.command).slice(0, 4000)))]));
  });
}

// --- what was run ----------------------------------------------------------------------------------------------------

// Line numbers come from the style sheet, so that copied text has none
function campaignText(text) {
  const lines = visible(text).replace(/\n$/, "").split("\n");
  const key = /^(\s*(?:- )?)([^\s#:'"][^#:]*|"[^"]*"|'[^']*')(:)(?=\s|$)/;
  return element("pre", { class: "listing", tabindex: "0", "aria-label": "The campaign file" }, lines.map((line) => {
    const comment = line.match(/^(.*?)(^#.*|\s#.*)$/);
    const [code, rest] = comment ? [comment[1], comment[2]] : [line, ""];
    const found = code.match(key);
    return element("span", { class: "line" },
      found ? [found[1], element("b", {}, found[2]), code.slice(found[1].length + found[2].length)] : code,
      rest && element("i", {}, rest), "\n");
  }));
}

function factList(facts) {
  return element("dl", { class: "facts" }, facts.map(([name, value]) => [element("dt", {}, shorten(name)), element("dd", {}, visible(value).slice(0, 4000))]));
}
