// The page: one run with its sections, or several that are compared, and the chosen one below.

const MOST_COMPARED = 400;

function section(id, title, ...content) {
  return element("section", { id, "aria-labelledby": `${id}-title` }, element("h2", { id: `${id}-title` }, title), content);
}

// Buttons of which one is chosen
function choice(label, options, chosen, onchange) {
  const name = `choice-${choice.made = (choice.made ?? 0) + 1}`;
  return element("fieldset", { class: "group" }, element("legend", { class: "label" }, label), options.map(([value, text]) => element("label", {},
    element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => onchange(value) }), element("span", {}, text))));
}

function select(label, groups, chosen, onchange) {
  const made = element("select", { onchange: (event) => onchange(event.target.value) }, groups.filter(([, options]) => options.length).map(([group, options]) => {
    const entries = options.map(([value, text]) => element("option", { value, selected: String(value) === String(chosen) }, text));
    return group ? element("optgroup", { label: group }, entries) : entries;
  }));
  return element("label", { class: "group" }, element("span", { class: "label" }, label), made);
}

// --- learning curves and ranking -------------------------------------------------------------------------------------

// A logarithmic axis is clearer if values of one sign span more than two decades
function suitsLog(values) {
  const drawn = values.filter((value) => isDrawn(value) && value !== 0);
  if (drawn.length < 3 || drawn.some((value) => value < 0)) return false;
  const [low, high] = [drawn.reduce((a, b) => Math.min(a, b)), drawn.reduce((a, b) => Math.max(a, b))];
  return high / low > 100;
}

const AXES = {
  iterations: { name: "iteration", isWhole: true, of: (learner) => learner.iterations },
  time: { name: "working time", of: (learner) => learner.seconds },
  cores: { name: "core-hours", of: (learner) => learner.core_seconds.map((seconds) => seconds / 3600) },
};

function curves(run) {
  const state = { metric: run.metrics[0], axis: "iterations", kind: "numbers", log: suitsLog(run.curvesOf(run.metrics[0]).flatMap((learner) => learner.numbers)) };
  const of = () => run.curvesOf(state.metric);
  const criteria = () => run.criteria.map((criterion, place) => ({ ...criterion, place })).filter((criterion) => criterion.metric === state.metric);
  const content = () => {
    const unit = timeUnit(of().reduce((most, learner) => Math.max(most, learner.seconds.at(-1) ?? 0), 0));
    const axis = AXES[state.axis], scale = state.axis === "time" ? unit.seconds : 1;
    const lines = of().filter((learner) => !run.hidden.has(learner.place)).map((learner) => {
      const across = axis.of(learner);
      return {
        id: `learner ${learner.place}`, title: learner.label, place: learner.place, style: learner.style, isStep: state.kind === "bests",
        points: learner[state.kind].map((y, place) => ({ x: across[place] / scale, y, rows: () => curveFacts(run, learner, place) })),
      };
    });
    const bands = state.axis === "iterations" && state.kind === "numbers" && run.left_out ? run.bands.filter((band) => criteria().some((criterion) => criterion.place === band.criterion)) : [];
    return {
      lines: lines.reverse(),
      bands: bands.flatMap((band) => [["p0", "p100", 0.16], ["p10", "p90", 0.22], ["p25", "p75", 0.3]].map(([low, high, opacity]) => ({ id: `${band.criterion} ${low}`, x: band.iterations, low: band[low].map(numeric), high: band[high].map(numeric), opacity }))),
      thresholds: criteria().filter((criterion) => isDrawn(criterion.threshold)).map((criterion) => ({ value: criterion.threshold, text: criterion.text })),
      x: { ...axis, name: state.axis === "time" ? `${axis.name}, ${unit.name}` : axis.name, empty: run.learners.some((learner) => learner.values.length) ? "No learner is shown." : `No iteration has finished${run.isRunning ? " yet" : ""}.` },
      y: { name: shorten(state.metric, 40) + (state.kind === "bests" ? ", best so far" : ""), log: state.log, note: thinned(run) + (bands.length ? `Grey areas: all ${counted(bands[0].counts[0] ?? 0, "learner")}, from the lowest value to the highest, from the 10th percentile to the 90th, and from the 25th to the 75th.` : "") },
    };
  };
  const chart = new Lines({ name: "curves", label: "Learning curves", height: Math.max(300, Math.min(420, innerHeight * 0.5)), content, run });
  const change = (key) => (value) => {
    state[key] = value;
    chart.zoomTo(null);
  };
  const tools = element("div", { class: "tools" },
    run.metrics.length > 1 && select("Metric", [[null, run.metrics.map((metric) => [metric, shorten(metric, 40)])]], state.metric, change("metric")),
    choice("Values", [["numbers", "each"], ["bests", "best so far"]], state.kind, change("kind")),
    choice("Over", [["iterations", "iterations"], ["time", "working time"], ["cores", "core-hours"]], state.axis, change("axis")),
    choice("Scale", [["linear", "linear"], ["log", "logarithmic"]], state.log ? "log" : "linear", (value) => change("log")(value === "log")),
    chart.zoom);
  const table = dataTable("Learning curves", ["learner", "iteration", "metric", "value", "best so far", "working time (s)", "core-seconds"], function* () {
    for (const learner of run.metrics.flatMap((metric) => run.curvesOf(metric))) {
      for (let place = 0; place < learner.iterations.length; place++) {
        yield [learner.name, learner.iterations[place], run.metricOf(learner), learner.numbers[place], learner.bests[place], learner.seconds[place], learner.core_seconds[place]];
      }
    }
  });
  return [tools, chart.node, table];
}

function thinned(run) {
  const left = run.learners.reduce((sum, learner) => sum + learner.iterations_left_out, 0);
  return left ? `Long histories are thinned: ${counted(left, "iteration")} of the learners shown here ${left === 1 ? "is" : "are"} not drawn. ` : "";
}

function curveFacts(run, learner, place) {
  const best = learner.bests[place];
  return [
    ["iteration", learner.iterations[place]],
    [shorten(run.metricOf(learner), 28), run.valueText(learner, place)],
    ...(best !== learner.numbers[place] ? [["best so far", numberText(best)]] : []),
    ["working time", durationText(learner.seconds[place])],
    ["core-hours", coreHoursText(learner.core_seconds[place])],
    ...run.columns.filter((column) => column.kind === "option").slice(0, 6).map((column) => [shorten(column.name, 28), shorten(cellText(run.columnValue(column, learner, place)), 28)]).filter(([, value]) => value),
  ];
}

// Who met the criterion first, by each measure
function winners(run) {
  const measures = [["iterations", "iterations", (met) => counted(met.iterations, "iteration")], ["time", "working time", (met) => durationText(met.seconds)], ["core-seconds", "core-hours", (met) => coreHoursText(met.core_seconds)]];
  const found = measures.map(([order, name, text]) => [name, run.learners.filter((learner) => learner.places[order] === 1 && learner.met), text]).filter(([, first]) => first.length);
  if (!found.length) return run.totals.with_threshold > 0 && element("p", { class: "winners" }, "No learner has met its criterion.");
  return element("p", { class: "winners" }, "First to meet the criterion: ", found.map(([name, first, text], place) => [place ? ", " : "", "by ", name, " ", element("strong", {}, listed(first.map((learner) => learner.name))), ` (${text(first[0].met)})`]), ".");
}

// --- options and reported values -------------------------------------------------------------------------------------

function values(run) {
  const decoded = run.columns.map((column) => ({ ...column, title: column.task ? `${column.name} (${column.task})` : column.name }));
  const varies = (column) => column.values.some((one) => Array.isArray(one)) || new Set(column.values.map((value) => JSON.stringify(value))).size > 1;
  const chosen = decoded.findIndex((column) => column.kind === "reported" && column.is_numeric);
  const state = { place: chosen >= 0 ? chosen : Math.max(0, decoded.findIndex(varies)), log: false };
  const column = () => decoded[state.place];
  const text = (value) => (value == null ? null : typeof value === "object" ? JSON.stringify(value) : visible(value));
  const raw = (learner, place) => run.columnValue(column(), learner, place);
  const content = () => {
    const { is_numeric: isNumeric, title } = column();
    const shown = run.learners.filter((learner) => !run.hidden.has(learner.place));
    const categories = isNumeric ? null : [...new Set(shown.flatMap((learner) => learner.iterations.map((_, place) => text(raw(learner, place)))))].filter((value) => value != null);
    const places = categories && new Map(categories.map((value, place) => [value, place]));
    return {
      lines: shown.map((learner) => ({
        id: `learner ${learner.place}`, title: learner.label, place: learner.place, style: learner.style, isStep: !isNumeric,
        points: learner.iterations.map((iteration, place) => {
          const value = raw(learner, place);
          return { x: iteration, y: isNumeric ? numeric(value) : places.get(text(value)) ?? null, rows: () => [["iteration", iteration], [shorten(title, 28), typeof value === "number" ? numberText(value) : shorten(text(value) ?? NONE, 80)]] };
        }),
      })).filter((line) => line.points.some((point) => point.y != null)).reverse(),
      x: { name: "iteration", isWhole: true, empty: "No learner that is shown has a value." },
      y: { name: shorten(title, 40), log: isNumeric && state.log, categories, note: categories?.length > 24 ? "Too many different values for readable labels: see the data." : "" },
    };
  };
  const chart = new Lines({ name: "values", label: "Options and reported values", height: 280, content, run });
  const scale = choice("Scale", [["linear", "linear"], ["log", "logarithmic"]], "linear", (value) => {
    state.log = value === "log";
    chart.zoomTo(null);
  });
  const group = (kind) => decoded.map((each, place) => [place, shorten(each.title, 60), each.kind]).filter((entry) => entry[2] === kind);
  const update = (place) => {
    state.place = Number(place);
    scale.disabled = !column().is_numeric;
    chart.label = column().title;
    chart.zoomTo(null);
  };
  const tools = element("div", { class: "tools" }, select("Show", [["Reported values", group("reported")], ["Options", group("option")]], state.place, update), scale, chart.zoom);
  scale.disabled = !column().is_numeric;
  const table = dataTable("Options and reported values", ["learner", "iteration", ...decoded.map((each) => each.title)], function* () {
    for (const learner of run.learners) {
      for (let place = 0; place < learner.iterations.length; place++) {
        yield [learner.name, learner.iterations[place], ...decoded.map((each) => {
          const value = run.columnValue(each, learner, place);
          return typeof value === "number" ? value : text(value);
        })];
      }
    }
  });
  return [run.columns_left_out && element("p", { class: "note" }, run.columns_left_out), tools, chart.node, table];
}

// --- timeline --------------------------------------------------------------------------------------------------------

function timeline(run) {
  const chart = new Timeline({ name: "timeline", label: "Tasks and cores over time", run });
  const { tasks, cores, sessions, durations } = run;
  const quartiles = (five) => (five ? `${durationText(five[2])} (${durationText(five[1])} to ${durationText(five[3])})` : NONE);
  const table = dataTable("Tasks", ["learner", "iteration", "task", "replica", "attempt", "outcome", "start (s)", "seconds", "waited (s)", "cores"], function* () {
    for (let at = 0; at < tasks.start.length; at++) {
      yield [run.learners[tasks.learner[at]]?.name ?? "campaign", tasks.iteration[at], tasks.task[at] < 0 ? "all" : tasks.names[tasks.task[at]], tasks.replica[at], tasks.attempt[at], OUTCOMES[tasks.outcome[at]], tasks.start[at], tasks.seconds[at], tasks.waited[at], tasks.cores[at]];
    }
  });
  const used = dataTable("Cores in use", ["from (s)", "cores in use", "most"], () => cores.at.map((at, place) => [at, cores.used[place], cores.peak[place]]));
  const taken = sortedTable("Tasks by kind", [
    { head: "task", cell: (row) => row.task, text: (row) => shorten(row.task), isHead: true },
    { head: "attempts", cell: (row) => row.attempts, text: (row) => countText(row.attempts), number: true },
    { head: "failed", cell: (row) => row.failed, text: (row) => countText(row.failed), number: true },
    ...(durations.some((row) => row.lost || row.cancelled) ? [{ head: "lost, cancelled", cell: (row) => row.lost + row.cancelled, text: (row) => countText(row.lost + row.cancelled), number: true }] : []),
    { head: "took: median (quartiles)", cell: (row) => row.seconds?.[2], text: (row) => quartiles(row.seconds), number: true },
    { head: "waited: median (quartiles)", cell: (row) => row.waited?.[2], text: (row) => quartiles(row.waited), number: true },
    { head: "core-hours", cell: (row) => row.core_seconds, text: (row) => coreHoursText(row.core_seconds), number: true },
  ], durations);
  const worked = sortedTable("Sessions", [
    { head: "session", cell: (row) => row.number, isHead: true },
    { head: "started", cell: (row) => row.start, text: (row) => dateText(run.began + row.start) },
    { head: "lasted", cell: (row) => (row.end ?? run.until - run.began) - row.start, text: (row) => durationText((row.end ?? run.until - run.began) - row.start), number: true },
    { head: "ended", cell: (row) => row.reason, text: (row) => (row.reason ? shorten(row.reason.replaceAll("_", " ")) : row.end == null && run.isRunning ? "running" : "killed, or lost with its machine") },
    { head: "host", cell: (row) => row.host, text: (row) => shorten(row.host) },
    { head: "engine", cell: (row) => row.engine, text: (row) => shorten(row.engine) },
    { head: "cores", cell: (row) => row.cores, text: (row) => countText(row.cores), number: true },
  ], sessions);
  return [
    tasks.text && element("p", { class: "note" }, tasks.text),
    element("div", { class: "tools" }, chart.legend(), element("div", { class: "zoom" }, chart.zoom)), chart.node, table, used,
    durations.length > 0 && [element("h3", {}, "By kind of task"), scrolling("Tasks by kind", taken.table, true)],
    sessions.length > 0 && [element("h3", {}, "Sessions"), scrolling("Sessions", worked.table, true)],
  ];
}

// --- one run ---------------------------------------------------------------------------------------------------------

function overview(run) {
  const { totals } = run;
  const share = totals.capacity_core_seconds ? Math.round((100 * totals.core_seconds) / totals.capacity_core_seconds) : null;
  const also = [totals.failed && `${countText(totals.failed)} failed`, totals.lost && `${countText(totals.lost)} lost`, totals.cancelled && `${countText(totals.cancelled)} cancelled`, totals.running && `${countText(totals.running)} running`].filter(Boolean);
  const facts = [
    ["started", dateText(run.began)], ["worked", durationText(run.elapsed)],
    totals.with_threshold > 0 && ["criterion met", `${countText(totals.met)} of ${counted(totals.with_threshold, "learner")}`],
    ["iterations", countText(totals.iterations)], ["tasks", countText(totals.attempts) + (also.length ? ` (${also.join(", ")})` : "")],
    ["core-hours", coreHoursText(totals.core_seconds) + (share == null ? "" : `, ${share} % of the cores' time`)],
    run.sessions.length > 1 && ["sessions", run.sessions.length], run.sessions.length > 0 && ["host", shorten([...new Set(run.sessions.map((session) => session.host))].join(", "), 40)],
  ].filter(Boolean);
  return element("header", { class: "run" },
    element("p", { class: `headline ${run.status}` }, visible(run.headline).replace(/^./u, (letter) => letter.toUpperCase())),
    run.isRunning && element("p", { class: "asof" }, `The run continues. This page shows it as of ${dateText(run.until)}.`, run.isWatched && " It is read again while rose watches the run, unless you have zoomed, hidden or opened something."),
    element("dl", { class: "totals" }, facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    run.notices.map((notice) => element("p", { class: "notice" }, visible(notice))),
    run.left_out && element("p", { class: "notice" }, visible(run.left_out.text)));
}

function runSections(run) {
  const sections = [];
  const add = (id, title, ...content) => sections.push(section(id, title, ...content));
  const { node, lines } = ranking(run);
  const table = [chooser(run, lines), node];
  if (run.metrics.length) add("curves", "Learning curves", curves(run));
  add("ranking", run.metrics.length ? "Ranking" : "Learners", !run.metrics.length && element("p", { class: "note" }, "The campaign has no stop criterion, so there is nothing to rank the learners by."), winners(run), table);
  if (run.once?.length) add("once", "Once per campaign", onceTable(run));
  if (run.tasks.start.length || run.sessions.length) add("timeline", "Timeline", timeline(run));
  if (run.columns.length) add("values", "Options and values", values(run));
  if (run.failures.length) {
    add("failures", "Failures", run.failures_left_out > 0 && element("p", { class: "note" }, `${counted(run.failures_left_out, "kind")} of failure more, not shown here.`), failureList(run));
  }
  add("ran", "What was run",
    factList(run.ran.facts),
    run.ran.settings.length > 0 && [element("h3", {}, "Set on the command line"), element("ul", {}, run.ran.settings.map((setting) => element("li", {}, element("code", {}, visible(setting)))))],
    run.edits.length > 0 && [element("h3", {}, "Changes of the plan"), run.edits.map((edit) => element("div", {}, element("p", {}, `After ${durationText(edit.at)}:`), element("ul", {}, edit.lines.map((line) => element("li", {}, visible(line))))))],
    run.ran.plan.length > 0 && [element("h3", {}, "Plan"), element("pre", { tabindex: "0", "aria-label": "The plan in short" }, run.ran.plan.map(visible).join("\n"))],
    run.ran.campaign != null && [element("h3", {}, "Campaign file ", element("code", {}, shorten(run.file, 80))), campaignText(run.ran.campaign)]);
  return sections;
}

// --- several runs ----------------------------------------------------------------------------------------------------

function comparedRuns(models, choose) {
  const metrics = [...new Set(models.flatMap((run) => run.metrics))];
  const state = { metric: metrics[0], kind: "numbers", log: suitsLog(models.flatMap((run) => run.curvesOf(metrics[0]).flatMap((learner) => learner.numbers))) };
  const style = (place) => ({ colour: place % COLOURS, dash: DASHES[(place + Math.floor(place / COLOURS)) % DASHES.length] });
  const content = () => {
    const lines = models.flatMap((run, at) => run.curvesOf(state.metric).map((learner) => ({
      id: `${at} ${learner.place}`, title: `${learner.label} · ${shorten(run.name, 40)}`, place: null, style: style(at), width: learner.is_best ? 2.6 : 0.9, isBest: learner.is_best, isStep: state.kind === "bests",
      points: learner[state.kind].map((y, place) => ({ x: learner.iterations[place], y, rows: () => curveFacts(run, learner, place) })),
    })));
    const best = lines.filter((line) => line.isBest), others = lines.filter((line) => !line.isBest);
    const thresholds = new Map(models.flatMap((run) => run.criteria.filter((criterion) => criterion.metric === state.metric && isDrawn(criterion.threshold)).map((criterion) => [criterion.text, criterion.threshold])));
    return {
      lines: [...others.slice(0, MOST_COMPARED), ...best], thresholds: [...thresholds].map(([text, value]) => ({ text, value })),
      x: { name: "iteration", isWhole: true, empty: "No iteration has finished yet." },
      y: { name: shorten(state.metric ?? "", 40), log: state.log, note: `Thick: the best learner of each run.${others.length > MOST_COMPARED ? ` ${countText(others.length - MOST_COMPARED)} other learners are left out.` : ""}` },
    };
  };
  const { table } = sortedTable("Runs", [
    { head: "run", cell: (run) => run.name, text: (run) => element("button", { type: "button", class: "link", onclick: () => choose(run) }, swatch(style(models.indexOf(run))), " ", shorten(run.name, 60)), isHead: true },
    { head: "campaign", cell: (run) => run.campaign, text: (run) => shorten(run.campaign, 40) },
    { head: "status", cell: (run) => run.verdict ?? run.status, text: (run) => shorten((run.verdict ?? run.status).replaceAll("_", " "), 60) },
    { head: "criterion met", cell: (run) => run.totals.met, text: (run) => (run.totals.with_threshold ? `${countText(run.totals.met)} of ${countText(run.totals.with_threshold)}` : NONE), number: true },
    { head: "best", cell: (run) => bestOf(run)?.[1] ?? null, text: (run) => (bestOf(run) ? numberText(bestOf(run)[1]) : NONE), number: true },
    { head: "by", cell: (run) => bestOf(run)?.[0] ?? null, text: (run) => bestOf(run)?.[0] ?? NONE },
    { head: "iterations", cell: (run) => run.totals.iterations, text: (run) => countText(run.totals.iterations), number: true },
    { head: "failed tasks", cell: (run) => run.totals.failed, text: (run) => countText(run.totals.failed), number: true },
    { head: "worked", cell: (run) => run.elapsed, text: (run) => durationText(run.elapsed), number: true },
    { head: "core-hours", cell: (run) => run.totals.core_seconds, text: (run) => coreHoursText(run.totals.core_seconds), number: true },
  ], models);
  const parts = [scrolling("Runs", table, true)];
  if (metrics.length) {
    const chart = new Lines({ name: "runs", label: "Learning curves of the runs", height: 380, content });
    const change = (key) => (value) => {
      state[key] = value;
      chart.zoomTo(null);
    };
    parts.push(element("div", { class: "tools" },
      metrics.length > 1 && select("Metric", [[null, metrics.map((metric) => [metric, shorten(metric, 40)])]], state.metric, change("metric")),
      choice("Values", [["numbers", "each"], ["bests", "best so far"]], state.kind, change("kind")),
      choice("Scale", [["linear", "linear"], ["log", "logarithmic"]], state.log ? "log" : "linear", (value) => change("log")(value === "log")), chart.zoom), chart.node);
    parts.push(dataTable("Learning curves of the runs", ["run", "learner", "iteration", "metric", "value", "best so far"], function* () {
      for (const run of models) {
        for (const learner of run.learners) {
          for (let place = 0; place < learner.iterations.length; place++) yield [run.name, learner.name, learner.iterations[place], run.metricOf(learner), learner.numbers[place], learner.bests[place]];
        }
      }
    }));
  }
  return parts;
}

function bestOf(run) {
  const best = run.learners.find((learner) => learner.is_best && learner.best_at != null);
  return best ? [best.label, best.numbers[best.best_at]] : null;
}

// --- the whole -------------------------------------------------------------------------------------------------------

function showRun(run, into) {
  Chart.all = Chart.all.filter((chart) => {
    const stays = !into.contains(chart.plot);
    if (!stays) chart.chart?.dispose();
    return stays;
  });
  run.listeners = []; // of the charts that are gone
  const sections = runSections(run);
  into.replaceChildren(overview(run), ...sections);
  const links = [...document.querySelectorAll("main > section, #run > section")].map((each) => element("a", { href: `#${each.id}` }, each.querySelector("h2").firstChild.textContent));
  document.querySelector("nav").replaceChildren(...links);
  redrawAll();
}

function show(report) {
  const models = report.runs.map((run) => Object.assign(new RunModel(run), { isWatched: report.refresh > 0 }));
  const isOne = models.length === 1;
  const into = element("div", { id: "run" });
  const chooser = !isOne && element("div", { class: "tools chosen" }, select("Run", [[null, models.map((run, place) => [place, shorten(run.name, 80)])]], 0, (place) => showRun(models[place], into)));
  const choose = (run) => {
    chooser.querySelector("select").value = String(models.indexOf(run));
    showRun(run, into);
    into.scrollIntoView();
  };
  const title = isOne ? [models[0].campaign && element("h1", {}, shorten(models[0].campaign, 120)), element("p", { class: "path" }, visible(models[0].directory))] : element("h1", {}, `${models.length} runs compared`);
  document.getElementById("report").replaceChildren(
    element("a", { class: "skip", href: "#main" }, "Skip to the report"),
    element("header", { class: "top" }, title),
    element("nav", { "aria-label": "Sections" }),
    element("main", { id: "main", tabindex: "-1" },
      !isOne && section("comparison", "Comparison", comparedRuns(models, choose), comparisonTables(report.comparison, models)),
      chooser, into),
    element("footer", {}, `Made by rose ${report.rose} on ${dateText(report.made)}. Charts: Apache ECharts ${echarts.version}.`));
  showRun(models[0], into);
  document.documentElement.dataset.ready = "true";
  if (report.refresh > 0) refresh(report.refresh, models);
  if (location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

const KINDS = {
  campaign: "campaign", learners: "learners", task: "task", setting: "setting", seed: "seed", engine: "engine", session: "session", code: "code", file: "file",
};

// What `rose_cli.comparison` found: results by metric, and what the runs do not have in common
function comparisonTables(comparison, models) {
  if (!comparison) return [];
  const results = comparison.runs.flatMap((run, at) => run.metrics.map((metric) => ({ ...metric, run: models[at]?.name ?? run.run })));
  const met = (key, text) => ({ cell: (row) => row.first_met?.[key] ?? null, text: (row) => (row.first_met ? text(row.first_met[key]) : NONE), number: key !== "learner" });
  const best = (row) => (row.best_value == null ? null : numeric(row.best_value));
  const { table } = sortedTable("Results", [
    { head: "run", cell: (row) => row.run, text: (row) => shorten(row.run, 60), isHead: true },
    { head: "metric", cell: (row) => row.metric_name, text: (row) => shorten([row.metric_name, ...(row.thresholds.length ? [row.operator, row.thresholds.map((value) => numberText(numeric(value))).join(" or ")] : [])].join(" "), 60) },
    { head: "met", cell: (row) => row.learners_met, text: (row) => (row.learners_with_threshold ? `${countText(row.learners_met)} of ${countText(row.learners_with_threshold)}` : NONE), number: true },
    { head: "best", cell: best, text: (row) => (row.is_best ? element("strong", {}, numberText(best(row))) : numberText(best(row))), number: true },
    { head: "by", cell: (row) => row.best_learner, text: (row) => shorten(row.best_learner ?? NONE, 40) },
    { head: "first to meet it", ...met("learner", (name) => shorten(name, 40)) },
    { head: "after", ...met("iterations", (number) => counted(number, "iteration")) },
    { head: "in", ...met("working_seconds", durationText) },
    { head: "with", ...met("core_seconds", (seconds) => `${coreHoursText(seconds)} core-h`) },
  ], results);
  const { differences } = comparison;
  const differ = sortedTable("Differences", [
    { head: "what", cell: (row) => KINDS[row.kind] ?? row.kind, text: (row) => shorten(KINDS[row.kind] ?? row.kind) },
    { head: "name", cell: (row) => row.name, text: (row) => element("code", {}, shorten(row.name, 60)), isHead: true },
    { head: "learners", cell: (row) => row.learners.length, text: (row) => (row.learners.length ? listed(row.learners) : "all") },
    ...models.map((run, at) => ({ head: shorten(run.name, 40), cell: (row) => row.values[at] ?? null, text: (row) => element("code", { title: row.values[at] && row.values[at].length > 60 ? visible(row.values[at]).slice(0, 1000) : null }, shorten(row.values[at] ?? NONE, 60)) })),
  ], differences);
  return [
    results.length > 0 && [element("h3", {}, "Results"), scrolling("Results", table, true)],
    element("h3", {}, "Differences"),
    differences.length ? scrolling("Differences", differ.table, differences.length < 20) : element("p", {}, "None of what rose compares differs: campaign, options, seeds, criteria, engine, code and files."),
  ];
}

// The page of a watched run is written again and again: it is read again, unless the reader is in the middle of something
function refresh(seconds, models) {
  setTimeout(() => {
    const isBusy = document.hidden || Chart.all.some((chart) => chart.at || Object.keys(chart.window).length) || models.some((run) => run.hidden.size)
      || document.querySelector("details[open], input:focus, select:focus") || getSelection()?.type === "Range" || isPrinting;
    if (isBusy) refresh(seconds, models);
    else location.reload();
  }, seconds * 1000);
}

readReport().then(show).catch((error) => {
  document.getElementById("report").replaceChildren(element("p", { class: "notice" }, `This report cannot be shown: ${error.message}`));
  document.documentElement.dataset.ready = "failed";
  throw error;
});
