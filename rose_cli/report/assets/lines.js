// Lines over iterations, time or core-hours: learning curves, and values of options or reports.

const LIMIT_OF_SYMBOLS = 800;
const NEAR = 70;

class Lines extends Chart {
  // `content()`: {lines: [{id, title, place, style, points: [{x, y, rows}]}], bands, thresholds, x, y}
  constructor({ content, run, ...rest }) {
    super(rest);
    this.content = content;
    this.run = run;
    run?.listeners.push((what) => (what === "lit" ? this.relight() : this.draw()));
  }

  option() {
    const { lines, bands = [], thresholds = [], x, y } = this.content();
    const { ink, soft, rule } = this.colours;
    this.lines = lines;
    this.y = y;
    const heights = [
      ...lines.flatMap((line) => line.points.map((point) => point.y)), ...thresholds.map((threshold) => threshold.value),
      ...bands.flatMap((band) => [...band.low, ...band.high]),
    ];
    this.scale = scaleOf(heights, y.log);
    const [bottom, top] = y.categories ? [-0.5, y.categories.length - 0.5] : this.heights(heights.filter(isDrawn), y.log);
    const [left, right] = extent([...lines.flatMap((line) => line.points.map((point) => point.x)), ...bands.flatMap((band) => band.x)], 0.01);
    this.bounds = { left, right, bottom, top };
    const shownX = this.part(left, right, this.window.x), shownY = this.part(bottom, top, this.window.y);
    const isNarrow = this.chart.getWidth() < 520;
    const ticks = y.categories ? y.categories.map((_, place) => place) : this.scale.ticks?.(...shownY, this.height / 45);
    const left_out = heights.filter((value) => value != null && !isDrawn(value)).length;
    this.note.textContent = [
      lines.some((line) => line.points.length) ? "" : x.empty ?? "", y.log ? this.scale.note : "",
      left_out ? `${counted(left_out, "value")} that ${left_out === 1 ? "is" : "are"} nan or infinite ${left_out === 1 ? "has" : "have"} no place in the chart.` : "", y.note ?? "",
    ].filter(Boolean).join(" ");
    const axis = { axisLine: { onZero: false, lineStyle: { color: soft } }, axisTick: { lineStyle: { color: soft } }, axisLabel: { color: soft, fontSize: 12, hideOverlap: true }, splitLine: { showMinLine: false, showMaxLine: false, lineStyle: { color: rule } }, nameTextStyle: { color: ink, fontSize: 12 }, splitNumber: 5 };
    const custom = ticks?.length ? { customValues: ticks } : {};
    const series = lines.map((line) => this.series(line));
    return {
      grid: { left: y.categories ? (isNarrow ? 92 : 150) : 64, right: 14, top: 30, bottom: 46 },
      xAxis: { ...axis, type: "value", min: left, max: right, name: x.name, nameLocation: "middle", nameGap: 28, minInterval: x.isWhole ? 1 : undefined, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, formatter: (value) => (value < shownX[0] - 1e-9 ? "" : numberText(roundTo(value, right - left), 6)), showMinLabel: false, showMaxLabel: false }, axisTick: { ...axis.axisTick, show: true } },
      yAxis: {
        ...axis, type: "value", min: bottom, max: top, name: y.name, nameLocation: "end", nameGap: 12,
        nameTextStyle: { ...axis.nameTextStyle, align: "left", padding: [0, 0, 0, y.categories ? (isNarrow ? -84 : -142) : -56] },
        axisLine: { show: false }, axisTick: { show: false, ...custom },
        axisLabel: { ...axis.axisLabel, ...custom, showMinLabel: y.categories || ticks ? undefined : false, showMaxLabel: y.categories || ticks ? undefined : false, width: isNarrow ? 80 : 138, overflow: "truncate", formatter: (place) => (y.categories ? shorten(y.categories[place] ?? "", 24) : numberText(roundTo(this.scale.from(place), y.log ? 0 : (top - bottom) * (this.scale.from(1) - this.scale.from(0))), 4)) },
      },
      ...this.zoomOptions([{ axis: "x", index: 0 }, { axis: "y", index: 0 }]),
      series: [...bands.flatMap((band) => this.band(band)), ...series, this.marks(thresholds)],
    };
  }

  // From the lowest position to the highest; a linear axis of positive values does not go below 0
  heights(drawn, isLog) {
    const [bottom, top] = extent(drawn.map(this.scale.to), 0.06);
    return [!isLog && bottom < 0 && drawn.every((value) => value >= 0) ? 0 : bottom, top];
  }

  part(low, high, window) {
    const [start, end] = window ?? [0, 100];
    return [low + ((high - low) * start) / 100, low + ((high - low) * end) / 100];
  }

  colourOf(style) {
    return style ? this.colours.series[style.colour] : this.colours.context;
  }

  series(line) {
    const positions = line.points.map((point) => [point.x, isDrawn(point.y) ? this.scale.to(point.y) : null]);
    const isAlone = (place) => positions[place]?.[1] != null && positions[place - 1]?.[1] == null && positions[place + 1]?.[1] == null;
    const isDotted = positions.length * this.lines.length <= LIMIT_OF_SYMBOLS && positions.length <= 60;
    const hasLonely = positions.some((_, place) => isAlone(place));
    const colour = line.colour ?? this.colourOf(line.style);
    return {
      id: String(line.id), type: "line", data: positions, silent: true, clip: true, step: line.isStep ? "end" : false,
      z: line.style ? 3 : 2, symbol: "circle", showSymbol: isDotted || hasLonely,
      symbolSize: (_, { dataIndex }) => (isAlone(dataIndex) ? 6 : isDotted ? 4 : 0),
      itemStyle: { color: colour, borderWidth: 0 },
      lineStyle: { color: colour, width: line.width ?? (line.style ? 1.7 : 1), type: line.style?.dash ?? "solid", opacity: line.style ? 1 : this.lines.length > 150 ? 0.4 : 0.75 },
      emphasis: { focus: "series", lineStyle: { width: 3.2, opacity: 1, color: line.style || line.colour ? colour : this.colours.accent }, itemStyle: { color: colour } },
      blur: { lineStyle: { opacity: this.lines.length > 40 ? 0.18 : 0.3 }, itemStyle: { opacity: 0.3 } },
    };
  }

  marks(thresholds) {
    const { ink, paper } = this.colours;
    return {
      id: "thresholds", type: "line", data: [], silent: true, z: 5,
      markLine: {
        silent: true, symbol: "none", animation: false,
        lineStyle: { color: ink, type: [5, 4], width: 1.2 },
        blur: { lineStyle: { opacity: 1 }, label: { opacity: 1 } },
        label: { position: "insideEndTop", color: ink, fontSize: 12, textBorderColor: paper, textBorderWidth: 3 },
        data: thresholds.filter((threshold) => isDrawn(threshold.value)).map((threshold) => ({ yAxis: this.scale.to(threshold.value), label: { formatter: shorten(threshold.text, 40) } })),
      },
    };
  }

  // The area between two columns of values, with a line in the middle of it
  band(band) {
    const corners = [...band.x.map((x, place) => [x, band.high[place]]), ...band.x.map((x, place) => [x, band.low[place]]).reverse()]
      .filter(([, y]) => isDrawn(y)).map(([x, y]) => [x, this.scale.to(y)]);
    return {
      id: `band ${band.id}`, type: "custom", silent: true, z: 1, clip: true, data: corners.length ? [corners[0]] : [],
      renderItem: (_, api) => ({ type: "polygon", shape: { points: corners.map((corner) => api.coord(corner)) }, style: { fill: band.colour ?? this.colours.context, opacity: band.opacity } }),
    };
  }

  // --- what the reader looks at

  pixels() {
    const { left, right, bottom, top } = this.bounds;
    const [x0, y0] = this.chart.convertToPixel({ gridIndex: 0 }, [left, bottom]);
    const [x1, y1] = this.chart.convertToPixel({ gridIndex: 0 }, [right, top]);
    return ([x, y]) => [x0 + ((x - left) / (right - left)) * (x1 - x0), y0 + ((y - bottom) / (top - bottom)) * (y1 - y0)];
  }

  nearest(left, top) {
    if (!this.chart) return null;
    const pixels = this.pixels();
    let best = NEAR ** 2, found = null;
    this.lines.forEach((line, row) => line.points.forEach((point, place) => {
      if (!isDrawn(point.y)) return;
      const [x, y] = pixels([point.x, this.scale.to(point.y)]);
      const distance = (x - left) ** 2 + (y - top) ** 2 - (line.style ? 4 : 0);
      if (distance < best) [best, found] = [distance, [row, place]];
    }));
    return found && this.point(...found);
  }

  point(row, place) {
    const line = this.lines[row], point = line.points[place];
    const [left, top] = isDrawn(point.y) ? this.pixels()([point.x, this.scale.to(point.y)]) : [this.plot.clientWidth / 2, 20];
    return { row, place, left, top, dot: isDrawn(point.y), learner: line.place, id: line.id, title: line.title, swatch: line.style && swatch(line.style), lines: point.rows() };
  }

  step(across, down) {
    if (!this.lines.length) return null;
    const lit = this.lines.findIndex((line) => line.place != null && line.place === this.run?.lit);
    const from = this.at ?? { row: Math.max(0, lit), place: -1 };
    const row = Math.max(0, Math.min(this.lines.length - 1, from.row + down));
    const place = Math.max(0, Math.min(this.lines[row].points.length - 1, from.place + (down ? 0 : across)));
    return this.lines[row].points.length ? this.point(row, place) : null;
  }

  looked(at) {
    if (this.run) this.run.light(at?.learner ?? null);
    else this.shine(at ? [at.id] : []);
  }

  relight() {
    if (!this.run) return;
    this.shine(this.run.lit == null ? [] : (this.lines ?? []).filter((line) => line.place === this.run.lit).map((line) => line.id));
  }

  shine(ids) {
    if (!this.chart) return;
    this.chart.dispatchAction({ type: "downplay" });
    if (ids.length) this.chart.dispatchAction({ type: "highlight", seriesId: ids.map(String) });
  }

  describe() {
    const { x, y } = this.content();
    const [left, right] = extent(this.lines.flatMap((line) => line.points.map((point) => point.x)), 0);
    return `${y.name} over ${x.name}, ${counted(this.lines.length, "line")}${this.lines.length ? `, ${x.name} from ${numberText(left)} to ${numberText(right)}` : ""}.`;
  }

  middle(axis) {
    if (!this.at || axis !== "x") return null;
    const { left, right } = this.bounds;
    return (100 * (this.lines[this.at.row].points[this.at.place].x - left)) / (right - left);
  }
}

// Without the noise of binary fractions: as many digits as an axis of this length needs
function roundTo(value, length) {
  if (!length || !Number.isFinite(length)) return value;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(length))) - 3);
  const rounded = Math.round(value / unit) * unit;
  return Number(rounded.toPrecision(12));
}

// A piece of a learner's line
function swatch(style) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true", class: "swatch" })) made.setAttribute(name, value);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M1 4H25");
  line.setAttribute("class", style ? `series-${style.colour}` : "context");
  if (style && style.dash !== "solid") line.setAttribute("stroke-dasharray", style.dash.join(" "));
  made.append(line);
  return made;
}
