// Tasks over time, a row for each learner, and below them the cores in use.

const [SUCCEEDED, FAILED, CANCELLED, LOST, RUNNING] = [0, 1, 2, 3, 4];
const OUTCOMES = ["succeeded", "failed", "cancelled", "lost", "running"];
const LONG_PAUSE = 0.08;
const CORES_HEIGHT = 110;

// Many rectangles as one path: thousands of tasks are a handful of shapes. Those closer than a pixel become one.
echarts.graphic.registerShape("bars", echarts.graphic.extendShape({
  shape: { bars: [] },
  buildPath(context, shape) {
    for (const [left, top, width, height] of shape.bars) context.rect(left, top, width, height);
  },
}));

class Timeline extends Chart {
  constructor({ run, ...rest }) {
    // What runs once per campaign has a row of its own, above the learners
    const campaign = { name: "campaign", label: "campaign", place: run.learners.length, index: -1 };
    const rows = [...(run.once?.length ? [campaign] : []), ...run.learners].sort((a, b) => a.index - b.index);
    const rowHeight = Math.max(1.5, Math.min(22, 640 / Math.max(1, rows.length)));
    super({ ...rest, height: Math.round(rows.length * rowHeight) + CORES_HEIGHT + 128 });
    this.run = run;
    this.rows = rows;
    this.rowHeight = rowHeight;
    this.rowOf = new Map(rows.map((learner, row) => [learner.place, row]));
    this.stripe = element("div", { class: "stripe", hidden: true });
    this.plot.before(this.stripe);
    this.arrange(run.tasks);
    run.listeners.push((what) => what === "lit" && this.relight());
  }

  // Attempts by row, and beside each other where they overlap
  arrange(tasks) {
    this.byRow = this.rows.map(() => []);
    this.lane = new Uint16Array(tasks.start.length);
    tasks.start.forEach((_, at) => this.byRow[this.rowOf.get(tasks.learner[at])]?.push(at));
    this.lanes = this.byRow.map((attempts) => {
      const free = [];
      for (const at of attempts) {
        let lane = free.findIndex((end) => end <= tasks.start[at] + 2 * this.run.unit);
        if (lane < 0) lane = free.length;
        free[lane] = tasks.start[at] + tasks.seconds[at];
        this.lane[at] = Math.min(lane, 65535);
      }
      return Math.max(1, free.length);
    });
    this.undone = new Set(tasks.undone);
  }

  get end() {
    const { run } = this;
    return Math.max(run.began == null ? 1 : run.until - run.began, ...run.sessions.map((session) => session.end ?? session.start), 0.1);
  }

  // Long pauses between sessions, which the axis leaves out
  get pauses() {
    const { sessions } = this.run;
    return sessions.slice(1).map((session, place) => ({ start: sessions[place].end ?? null, end: session.start }))
      .filter((pause) => pause.start != null && pause.end - pause.start > this.end * LONG_PAUSE);
  }

  option() {
    const { run, rows, rowHeight } = this;
    const { ink, soft, rule, faint, paper, pause } = this.colours;
    const isNarrow = this.chart.getWidth() < 520;
    const left = isNarrow ? 86 : 150, height = rows.length * rowHeight, end = this.end;
    const breaks = this.pauses.map((each) => ({ ...each, gap: "2.5%" }));
    const worked = end - this.pauses.reduce((sum, each) => sum + each.end - each.start, 0);
    const unit = timeUnit(worked);
    const axis = { axisLine: { lineStyle: { color: soft } }, axisTick: { lineStyle: { color: soft } }, axisLabel: { color: soft, fontSize: 12, hideOverlap: true }, nameTextStyle: { color: ink, fontSize: 12 } };
    const [from, to] = (this.window.x ?? [0, 100]).map((share) => (worked * share) / 100);
    const time = (index) => ({
      ...axis, type: "value", gridIndex: index, min: 0, max: end, breaks,
      breakArea: { show: true, zigzagAmplitude: 0, expandOnClick: false, itemStyle: { color: pause, borderColor: faint, borderWidth: 1, borderType: "dotted", opacity: 0.9 } },
      breakLabelLayout: { moveOverlap: true },
      interval: niceInterval(to - from, unit.seconds, (this.chart.getWidth() - left) / 90),
      splitLine: { show: true, lineStyle: { color: rule } },
      axisLabel: { ...axis.axisLabel, show: index === 1, showMaxLabel: false, formatter: (value) => numberText(roundTo(value / unit.seconds, (to - from) / unit.seconds), 6) },
      axisTick: { ...axis.axisTick, show: index === 1 },
      axisLine: { ...axis.axisLine, show: index === 1 },
      ...(index === 1 ? { name: `${unit.name} since the start`, nameLocation: "middle", nameGap: 28 } : {}),
    });
    const used = run.cores, most = Math.max(1, ...used.peak, ...used.capacity.map((each) => each.cores ?? 0));
    const visible = rowHeight * (100 / ((this.window.y?.[1] ?? 100) - (this.window.y?.[0] ?? 0)));
    const every = Math.max(1, Math.ceil(13 / visible));
    const learners = rows.filter((row) => row.index >= 0);
    const short = new Map(shortNames(learners.map((row) => row.name), isNarrow ? 11 : 20).map((name, at) => [learners[at], name]));
    const labelled = rows.map((_, row) => row).filter((row) => row % every === 0 && visible >= 4);
    return {
      grid: [{ left, right: 14, top: 26, height }, { left, right: 14, top: height + 26 + 44, height: CORES_HEIGHT }],
      xAxis: [time(0), time(1)],
      yAxis: [
        { ...axis, type: "value", gridIndex: 0, min: 0, max: rows.length, inverse: true, axisLine: { show: false }, splitLine: { show: false }, axisTick: { show: false, customValues: labelled.map((row) => row + 0.5) }, axisLabel: { ...axis.axisLabel, hideOverlap: false, customValues: labelled.map((row) => row + 0.5), width: left - 14, overflow: "truncate", formatter: (place) => short.get(rows[Math.floor(place)]) ?? rows[Math.floor(place)]?.name ?? "" } },
        { ...axis, type: "value", gridIndex: 1, min: 0, max: most * 1.06, minInterval: 1, splitNumber: 3, name: "cores in use", nameLocation: "end", nameGap: 10, nameTextStyle: { ...axis.nameTextStyle, align: "right", padding: [0, 6, 0, 0] }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: rule } }, axisLabel: { ...axis.axisLabel, showMaxLabel: false } },
      ],
      ...this.zoomOptions([{ axis: "x", index: [0, 1] }, { axis: "y", index: 0 }]),
      series: [...this.layers(), ...this.cores(), this.borders(0, paper), this.borders(1, paper)],
    };
  }

  // --- the attempts, in layers of one colour each

  layers() {
    const { tasks } = this.run;
    const { bad, faint, ink, paper, rule, soft } = this.colours;
    const where = (test) => tasks.start.map((_, at) => at).filter(test);
    const isPlain = (at) => tasks.outcome[at] === SUCCEEDED && !this.undone.has(at);
    const colour = (task) => (task < 0 ? soft : this.colours.tasks[task % COLOURS]);
    const kinds = [...new Set(tasks.task)].sort((a, b) => a - b);
    return [
      this.layer("waiting", where((at) => tasks.waited[at] > 0), { fill: this.rowHeight < 8 ? rule : faint }, { part: "waiting" }),
      ...kinds.map((task) => this.layer(`task ${task}`, where((at) => tasks.task[at] === task && isPlain(at)), { fill: colour(task) })),
      ...kinds.map((task) => this.layer(`undone ${task}`, where((at) => tasks.task[at] === task && tasks.outcome[at] === SUCCEEDED && this.undone.has(at)), { fill: colour(task), opacity: 0.35 })),
      ...kinds.map((task) => this.layer(`running ${task}`, where((at) => tasks.task[at] === task && tasks.outcome[at] === RUNNING), { fill: colour(task), opacity: 0.6, stroke: ink, lineWidth: 1 }, { least: 2 })),
      this.layer("stopped", where((at) => [CANCELLED, LOST].includes(tasks.outcome[at])), { fill: paper, stroke: soft, lineWidth: 1 }, { least: 2 }),
      this.layer("failed", where((at) => tasks.outcome[at] === FAILED), { fill: bad }, { least: 3, part: "failed" }),
      this.layer("retries", where((at) => tasks.attempt[at] > 1), { fill: ink }, { part: "retry" }),
    ].filter(Boolean);
  }

  layer(id, attempts, style, { least = 0.6, part = "task" } = {}) {
    if (!attempts.length) return null;
    return {
      id, type: "custom", silent: true, clip: true, xAxisIndex: 0, yAxisIndex: 0, data: [[0, 0]], z: part === "waiting" ? 1 : part === "task" ? 2 : 3,
      renderItem: (_, api) => ({ type: "bars", shape: { bars: this.rectangles(api, attempts, least, part) }, style }),
    };
  }

  rectangles(api, attempts, least, part) {
    const { tasks } = this.run;
    const origin = api.coord([0, 0])[1], height = api.coord([0, 1])[1] - origin;
    const found = [], last = new Map();
    for (const at of attempts) {
      const row = this.rowOf.get(tasks.learner[at]), lanes = this.lanes[row], lane = this.lane[at];
      const room = height > 5 ? height * 0.78 : height, step = room / lanes;
      let top = origin + row * height + (height - room) / 2 + lane * step, tall = Math.max(0.5, step > 3 ? step - 0.5 : step);
      const start = tasks.start[at], end = start + tasks.seconds[at];
      let left = api.coord([part === "waiting" ? start - tasks.waited[at] : start, 0])[0];
      let width = Math.max(least, api.coord([part === "waiting" ? start : end, 0])[0] - left);
      if (part === "waiting") [top, tall] = [top + tall / 2 - Math.min(1, tall / 2), Math.min(2, tall)];
      else if (part === "failed") [top, tall] = [top - (height - room) / 2 / lanes, tall + (height - room) / lanes];
      else if (part === "retry") [width, left] = [Math.min(2.5, Math.max(1, tall / 4)), left];
      else if (part === "task" && width > 3) width -= 0.6;
      const before = last.get(row * 64 + (lane % 64));
      if (before && part !== "retry" && left - (before[0] + before[2]) < 0.3 && width < 1.5 && before[1] === top) before[2] = Math.max(before[2], left + width - before[0]);
      else {
        const bar = [left, top, width, tall];
        last.set(row * 64 + (lane % 64), bar);
        found.push(bar);
      }
    }
    return found;
  }

  // --- sessions and cores

  borders(index, paper) {
    const { sessions } = this.run;
    const { soft } = this.colours;
    const isFew = sessions.length <= 12;
    return {
      id: `sessions ${index}`, type: "line", xAxisIndex: index, yAxisIndex: index, data: [], silent: true, z: 4,
      markLine: {
        silent: true, symbol: "none", animation: false, lineStyle: { color: soft, type: [3, 3], width: 1.2 },
        label: { show: index === 0, position: "start", distance: 4, color: soft, fontSize: 11, align: "left", textBorderColor: paper, textBorderWidth: 2 },
        data: sessions.filter((session) => session.number > 1).map((session) => ({ xAxis: session.start, label: { formatter: isFew ? `session ${session.number}` : String(session.number) } })),
      },
    };
  }

  cores() {
    const { cores } = this.run;
    const { accent, soft } = this.colours;
    const end = this.end;
    const area = cores.at.map((at, place) => [at, cores.used[place]]);
    if (area.length) area.push([end, area.at(-1)[1]]);
    const capacity = cores.capacity.map((each) => [each.at, each.cores]);
    if (capacity.length) capacity.push([end, capacity.at(-1)[1]]);
    const base = { type: "line", xAxisIndex: 1, yAxisIndex: 1, silent: true, symbol: "none", showSymbol: false, step: "end" };
    return [
      ...(cores.seconds ? [{ ...base, id: "peak", data: cores.at.map((at, place) => [at, cores.peak[place]]), lineStyle: { color: accent, width: 0.8, opacity: 0.5 } }] : []),
      { ...base, id: "used", data: area, lineStyle: { color: accent, width: 1.2 }, areaStyle: { color: accent, opacity: 0.22 } },
      { ...base, id: "capacity", data: capacity, lineStyle: { color: soft, width: 1.2, type: [5, 4] } },
    ];
  }

  coresAt(time) {
    const { cores } = this.run;
    let place = upperBound(cores.at, time) - 1;
    const capacity = cores.capacity.filter((each) => each.at <= time).at(-1)?.cores;
    return place < 0 ? null : { place, used: cores.used[place], capacity };
  }

  // --- what the reader looks at

  nearest(left, top) {
    if (!this.chart) return null;
    const inTasks = this.chart.containPixel({ gridIndex: 0 }, [left, top]);
    if (!inTasks && !this.chart.containPixel({ gridIndex: 1 }, [left, top])) return null;
    const time = this.chart.convertFromPixel({ xAxisIndex: inTasks ? 0 : 1 }, left);
    if (!inTasks) return this.coresPoint(time, left);
    const row = Math.max(0, Math.min(this.rows.length - 1, Math.floor(this.chart.convertFromPixel({ yAxisIndex: 0 }, top))));
    const { tasks } = this.run;
    let best = Infinity, found = null;
    const lane = Math.floor(((this.chart.convertFromPixel({ yAxisIndex: 0 }, top) % 1) - 0.11) / 0.78 * this.lanes[row]);
    for (const at of this.byRow[row]) {
      const start = tasks.start[at], end = start + tasks.seconds[at];
      const distance = (time < start ? start - time : time > end ? time - end : 0) + (this.lane[at] === lane ? 0 : 1e-6);
      if (distance < best) [best, found] = [distance, at];
    }
    if (found == null) return null;
    const start = tasks.start[found], end = start + tasks.seconds[found];
    const pixels = this.chart.convertToPixel({ xAxisIndex: 0 }, time < start ? start : Math.min(time, end));
    return Math.abs(pixels - left) > 24 ? { ...this.rowPoint(row), left, top } : this.point(row, found);
  }

  rowPoint(row) {
    return { row, learner: this.learnerOf(row), title: this.rows[row].label, lines: [] };
  }

  point(row, at) {
    const { tasks, run } = this;
    return { ...this.rowPoint(row), attempt: at, ...this.spot(row, at), lines: this.facts(at), learner: this.learnerOf(row) };
  }

  // Null for what belongs to none
  learnerOf(row) {
    const { place } = this.rows[row];
    return place < this.run.learners.length ? place : null;
  }

  get tasks() {
    return this.run.tasks;
  }

  spot(row, at) {
    const { tasks } = this.run;
    const middle = tasks.start[at] + tasks.seconds[at] / 2;
    return { left: this.chart.convertToPixel({ xAxisIndex: 0 }, middle), top: this.chart.convertToPixel({ yAxisIndex: 0 }, row + 0.5) };
  }

  facts(at) {
    const { tasks } = this.run;
    const isMerged = tasks.task[at] < 0;
    return [
      tasks.learner[at] === this.run.learners.length ? ["part", tasks.iteration[at] ? "finish" : "setup"] : ["iteration", tasks.last?.[at] > tasks.iteration[at] ? `${tasks.iteration[at]}–${tasks.last[at]}` : tasks.iteration[at]],
      isMerged ? ["tasks", "all of these iterations"] : ["task", shorten(tasks.names[tasks.task[at]] ?? "", 40) + (tasks.replica[at] ? `, replica ${tasks.replica[at]}` : "")],
      ...(tasks.attempt[at] > 1 ? [["attempt", tasks.attempt[at]]] : []),
      ["outcome", OUTCOMES[tasks.outcome[at]] + (this.undone.has(at) ? ", rerun later" : "")],
      ["started after", durationText(tasks.start[at])],
      [tasks.outcome[at] === RUNNING ? "so far" : "took", durationText(tasks.seconds[at])],
      ...(tasks.waited[at] > 0.05 ? [["waited before", durationText(tasks.waited[at])]] : []),
      ["cores", tasks.cores[at]],
    ];
  }

  coresPoint(time, left) {
    const found = this.coresAt(time);
    if (!found) return null;
    const top = this.chart.convertToPixel({ yAxisIndex: 1 }, found.used);
    return { left, top, dot: true, cores: found.place, title: "Cores in use", lines: [["after", durationText(time)], ["in use", numberText(found.used, 3)], ...(found.capacity == null ? [] : [["available", found.capacity]])] };
  }

  step(across, down) {
    if (!this.rows.length) return null;
    const row = Math.max(0, Math.min(this.rows.length - 1, (this.at?.row ?? (down > 0 ? -1 : 0)) + down));
    const attempts = this.byRow[row];
    if (!attempts.length) return { ...this.rowPoint(row), left: 200, top: this.chart.convertToPixel({ yAxisIndex: 0 }, row + 0.5) };
    const time = this.at?.attempt == null ? -Infinity : this.run.tasks.start[this.at.attempt];
    const place = down || this.at?.attempt == null ? Math.max(0, upperBound(attempts.map((at) => this.run.tasks.start[at]), time) - 1) : attempts.indexOf(this.at.attempt) + across;
    return this.point(row, attempts[Math.max(0, Math.min(attempts.length - 1, place))]);
  }

  looked(at) {
    this.run.light(at?.learner ?? null);
  }

  relight() {
    const row = this.run.lit == null ? null : this.rowOf.get(this.run.lit);
    this.stripe.hidden = row == null || !this.chart;
    if (this.stripe.hidden) return;
    const top = this.chart.convertToPixel({ yAxisIndex: 0 }, row), bottom = this.chart.convertToPixel({ yAxisIndex: 0 }, row + 1);
    const low = 26, high = 26 + this.rows.length * this.rowHeight;
    this.stripe.hidden = bottom <= low || top >= high;
    this.stripe.style.top = `${Math.max(low, top)}px`;
    this.stripe.style.height = `${Math.max(2, Math.min(high, bottom) - Math.max(low, top))}px`;
  }

  describe() {
    const { tasks, sessions } = this.run;
    return `${counted(tasks.start.length, "bar")} for ${counted(this.run.learners.length, "learner")} in ${counted(sessions.length, "session")}, ${durationText(this.end)} from start to end.`;
  }

  middle(axis) {
    return axis === "x" && this.at?.attempt != null && !this.pauses.length ? (100 * this.run.tasks.start[this.at.attempt]) / this.end : null;
  }

  legend() {
    const { tasks, sessions } = this.run;
    const has = (test) => tasks.start.some((_, at) => test(at));
    const entry = (kind, text) => element("li", {}, element("span", { class: `key ${kind}` }), text);
    return element("ul", { class: "legend" },
      tasks.names.map((name, task) => has((at) => tasks.task[at] === task) && entry(`task-${task % COLOURS}`, shorten(name, 40))),
      has((at) => tasks.task[at] < 0) && entry("merged", tasks.merged > 1 ? `all tasks of up to ${counted(tasks.merged, "iteration")}` : "all tasks of an iteration"),
      has((at) => tasks.waited[at] > 0) && entry("waiting", "waiting for cores"),
      has((at) => tasks.outcome[at] === FAILED) && entry("failed", "failed"),
      has((at) => tasks.attempt[at] > 1) && entry("retry", "retry"),
      has((at) => [CANCELLED, LOST].includes(tasks.outcome[at])) && entry("stopped", "lost or cancelled"),
      has((at) => tasks.outcome[at] === RUNNING) && entry("running", "running"),
      this.undone.size > 0 && entry("undone", "rerun later"),
      sessions.length > 1 && entry("border", "start of a session"),
      this.pauses.length > 0 && entry("pause", "pause between sessions, shortened"));
  }
}

function upperBound(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// A round number of units, so that about so many ticks fit
function niceInterval(seconds, unit, most) {
  const raw = seconds / unit / Math.max(2, Math.min(10, most));
  const power = 10 ** Math.floor(Math.log10(raw));
  return ([1, 2, 5, 10].find((digit) => digit * power >= raw) ?? 10) * power * unit;
}
