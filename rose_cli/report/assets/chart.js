// A chart as a figure: what is drawn by ECharts, and everything around it that it lacks: a tooltip without markup,
// keys, zoom buttons, colours that follow the theme, and the same data as a table.

const darkness = matchMedia("(prefers-color-scheme: dark)");
const isCoarse = matchMedia("(pointer: coarse)");
let isPrinting = false;
const PAPER = { width: 720 };

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: get("ink"), soft: get("soft"), faint: get("faint"), rule: get("rule"), paper: get("paper"), bad: get("bad"),
    accent: get("accent"), pause: get("pause"), context: get("context"),
    series: Array.from({ length: COLOURS }, (_, place) => get(`series-${place}`)),
    tasks: Array.from({ length: COLOURS }, (_, place) => get(`task-${place}`)),
  };
}

class Chart {
  static all = [];

  constructor({ label, height, name }) {
    this.label = label;
    this.height = height;
    this.at = null;
    this.window = {};
    this.plot = element("div", {
      class: "plot", tabindex: "0", role: "application", "aria-roledescription": "chart", "data-chart": name,
    });
    this.plot.style.height = `${height}px`;
    this.tip = element("div", { class: "tip", hidden: true });
    this.dot = element("div", { class: "dot", hidden: true });
    this.zoom = element("div", { class: "zoom" },
      this.button("+", "Zoom in", () => this.zoomBy(0.5)),
      this.button("−", "Zoom out", () => this.zoomBy(2)),
      this.button("Whole", "Show the whole chart", () => this.zoomTo(null)));
    this.note = element("p", { class: "note" });
    this.node = element("figure", { class: "chart" }, element("div", { class: "stage" }, this.plot, this.dot, this.tip), this.note);
    this.plot.addEventListener("pointermove", (event) => event.buttons || this.look(this.nearest(...this.place(event))));
    this.plot.addEventListener("pointerdown", (event) => event.pointerType !== "mouse" && this.look(this.nearest(...this.place(event))));
    this.plot.addEventListener("pointerleave", () => this.look(null));
    this.plot.addEventListener("dblclick", () => this.zoomTo(null));
    this.plot.addEventListener("keydown", (event) => this.press(event));
    this.plot.addEventListener("blur", () => this.look(null));
    Chart.all.push(this);
  }

  button(text, label, action) {
    return element("button", { type: "button", "aria-label": `${label}: ${this.label}`, title: label, onclick: action }, text);
  }

  place(event) {
    const box = this.plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // --- drawing: `option`, `nearest`, `step` and `describe` are those of the kind of chart

  draw() {
    if (!this.plot.isConnected) return;
    this.width = this.plot.clientWidth;
    this.plot.style.height = `${this.height}px`;
    if (!this.chart || this.isOnPaper !== isPrinting) this.start();
    this.colours = colours();
    this.chart.resize({ height: this.height, silent: true, ...(isPrinting ? PAPER : {}) });
    this.chart.setOption({
      animation: false,
      stateAnimation: { duration: 0 },
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: this.colours.soft },
      ...this.option(),
    }, { notMerge: true });
    if (!isCoarse.matches) {
      this.chart.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
    }
    this.plot.setAttribute("aria-label", `${this.label}. ${this.describe()} Arrow keys move between the values, + and − zoom.`);
    this.relight();
  }

  // A canvas has the size and the dots of what it is shown on
  start() {
    if (!this.chart) new ResizeObserver(() => this.resize()).observe(this.plot);
    this.chart?.dispose();
    this.isOnPaper = isPrinting;
    this.chart = echarts.init(this.plot, null, isPrinting ? { ...PAPER, height: this.height, devicePixelRatio: 3 } : {});
    this.chart.on("datazoom", () => this.zoomed());
  }

  resize() {
    if (this.plot.clientWidth && this.plot.clientWidth !== this.width && !isPrinting) this.draw();
  }

  relight() {}

  // Zoom with the mouse and with two fingers; the toolbox is there for the drag only, and is not shown
  zoomOptions(axes, brushes = axes) {
    const inside = axes.flatMap(({ axis, index }) => ({
      type: "inside", id: axis, [`${axis}AxisIndex`]: index, filterMode: "none", zoomOnMouseWheel: "ctrl",
      moveOnMouseMove: false, moveOnMouseWheel: "shift", start: this.window[axis]?.[0] ?? 0, end: this.window[axis]?.[1] ?? 100,
    }));
    const index = (axis) => brushes.find((each) => each.axis === axis)?.index ?? false;
    return {
      dataZoom: inside,
      toolbox: {
        itemSize: 0, showTitle: false, left: -50,
        feature: {
          dataZoom: {
            xAxisIndex: index("x"), yAxisIndex: index("y"), filterMode: "none",
            brushStyle: { color: this.colours.accent, opacity: 0.12 }, icon: { zoom: "none", back: "none" },
          },
        },
      },
    };
  }

  zoomed() {
    for (const zoom of this.chart.getOption().dataZoom) {
      if (zoom.id === "x" || zoom.id === "y") this.window[zoom.id] = [zoom.start, zoom.end];
    }
    clearTimeout(this.redrawing);
    this.redrawing = setTimeout(() => this.draw(), 60);
  }

  zoomTo(window) {
    this.window = window ?? {};
    this.look(null);
    this.draw();
  }

  zoomBy(factor, axes = ["x"]) {
    const window = { ...this.window };
    for (const axis of axes) {
      const [start, end] = window[axis] ?? [0, 100];
      const half = Math.min(50, Math.max(0.05, ((end - start) * factor) / 2));
      const middle = Math.min(100 - half, Math.max(half, this.middle?.(axis) ?? (start + end) / 2));
      window[axis] = [middle - half, middle + half];
    }
    this.zoomTo(window);
  }

  pan(share) {
    const [start, end] = this.window.x ?? [0, 100];
    const move = Math.max(-start, Math.min(100 - end, (end - start) * share));
    this.zoomTo({ ...this.window, x: [start + move, end + move] });
  }

  // --- what the reader looks at

  look(at, isSpoken = false) {
    this.at = at;
    this.tip.hidden = this.dot.hidden = !at;
    this.plot.classList.toggle("found", Boolean(at));
    this.looked?.(at);
    if (!at) return;
    this.tip.replaceChildren(
      element("strong", {}, at.swatch, at.title),
      element("dl", {}, at.lines.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])));
    const right = at.left > this.plot.clientWidth / 2;
    this.tip.style.left = `${Math.max(0, right ? at.left - this.tip.offsetWidth - 14 : Math.min(at.left + 14, this.plot.clientWidth - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${Math.max(0, Math.min(at.top - this.tip.offsetHeight / 2, this.height - this.tip.offsetHeight))}px`;
    this.dot.style.left = `${at.left}px`;
    this.dot.style.top = `${at.top}px`;
    this.dot.hidden = !at.dot;
    if (isSpoken) announce(`${at.title}: ${at.lines.map((line) => line.join(" ")).join(", ")}`);
  }

  press(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      if (event.shiftKey && moves[event.key][0]) this.pan(moves[event.key][0] / 4);
      else this.look(this.step(...moves[event.key]), true);
    } else if (event.key === "+" || event.key === "=") this.zoomBy(0.5);
    else if (event.key === "-") this.zoomBy(2);
    else if (event.key === "0") this.zoomTo(null);
    else if (event.key === "Escape" && this.at) this.look(null);
    else return;
    event.preventDefault();
  }
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

function redrawAll() {
  for (const chart of Chart.all) chart.draw();
}

darkness.addEventListener("change", redrawAll);
// Paper is light, whatever the screen is, and has no pointer
for (const [event, now] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    isPrinting = now;
    document.documentElement.classList.toggle("print", now);
    redrawAll();
  });
}

// --- scales --------------------------------------------------------------------------------------------------------

// From values to positions on a linear axis, so that a logarithmic axis can show zero and negative values too
function scaleOf(values, isLog) {
  const drawn = values.filter(isDrawn);
  const sizes = drawn.map(Math.abs).filter((size) => size > 0);
  const largest = sizes.reduce((a, b) => Math.max(a, b), 0);
  if (!isLog || !sizes.length) {
    const unit = largest && (largest < 1e-9 || largest > 1e15) ? 10 ** Math.max(-300, Math.min(308, Math.floor(Math.log10(largest)))) : 1;
    return { to: (value) => value / unit, from: (place) => place * unit, ticks: null, note: "" };
  }
  if (sizes.length === drawn.length && drawn.every((value) => value > 0)) {
    return { to: Math.log10, from: (place) => 10 ** place, ticks: powers((value) => Math.log10(value)), note: "" };
  }
  const least = sizes.reduce((a, b) => Math.min(a, b), Infinity);
  const exponent = Math.floor(Math.log10(Math.max(least, 1e-307)));
  const nearest = 10 ** exponent;
  const to = (value) => (Math.abs(value) <= nearest ? value / nearest : Math.sign(value) * (1 + Math.log10(Math.abs(value)) - exponent));
  const from = (place) => (Math.abs(place) <= 1 ? place * nearest : Math.sign(place) * 10 ** (Math.abs(place) - 1 + exponent));
  const above = powers((value) => 1 + Math.log10(value) - exponent, (place) => 10 ** (place - 1 + exponent));
  const ticks = (low, high, most) => {
    const half = Math.max(2, most / 2);
    return [...(low < 0 ? above(1, -low, half).map((place) => -place) : []), 0, ...(high > 0 ? above(1, high, half) : [])]
      .filter((place) => place >= low && place <= high).sort((a, b) => a - b);
  };
  return { to, from, ticks, note: `Logarithmic on both sides of 0, linear between ±${numberText(nearest)}.` };
}

// The positions of round numbers between two positions of a logarithmic axis
function powers(to, from = (place) => 10 ** place) {
  return (low, high, most) => {
    // the room above 1e308 and below 1e-307 has no numbers
    const exponent = (place) => Math.log10(Math.min(Number.MAX_VALUE, Math.max(1e-307, from(place))));
    const [first, last] = [Math.floor(exponent(low) - 1e-9), Math.ceil(exponent(high) + 1e-9)];
    const every = Math.max(1, Math.ceil((last - first) / most));
    const digits = high - low > 2 ? [1] : high - low > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
    const found = [];
    for (let power = Math.ceil(first / every) * every; power <= last; power += every) {
      for (const digit of digits) {
        const place = to(digit * 10 ** power);
        if (place >= low - 1e-9 && place <= high + 1e-9) found.push(place);
      }
    }
    return found;
  };
}

function extent(places, padding = 0.04) {
  let low = Infinity, high = -Infinity;
  for (const place of places) {
    if (!Number.isFinite(place)) continue;
    low = Math.min(low, place);
    high = Math.max(high, place);
  }
  if (low > high) return [0, 1];
  const space = high > low ? (high - low) * padding : Math.abs(low) * 0.1 || 1;
  return [low - space, high + space];
}

// --- the same data as a table --------------------------------------------------------------------------------------

const MOST_ROWS = 500;

// A table that is made when it is opened; `rows` are called for then
function dataTable(label, heads, rows) {
  const details = element("details", { class: "data" }, element("summary", {}, `Data: ${label.toLowerCase()}`));
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    const found = [...rows()];
    const shown = found.slice(0, MOST_ROWS);
    const save = element("button", { type: "button", onclick: () => saveCsv(label, heads, found) }, "Save as CSV");
    const table = element("table", {},
      element("caption", { class: "unseen" }, label),
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, shown.map((row) => element("tr", {}, row.map((cell) => element("td", { class: typeof cell === "number" ? "number" : "" }, cellText(cell)))))));
    details.querySelector(".rows")?.remove();
    details.append(element("div", { class: "rows" },
      element("p", { class: "note" }, found.length > shown.length ? `The first ${countText(shown.length)} of ${counted(found.length, "row")}. ` : `${counted(found.length, "row")}. `, save),
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Data: ${label}` }, table)));
  });
  return details;
}

const cellText = (cell) => (typeof cell === "number" ? numberText(cell, 8) : cell == null ? "" : shorten(cell, 120));

function saveCsv(label, heads, rows) {
  // a spreadsheet would take text that starts like a formula for one
  const plain = (cell) => (typeof cell === "number" ? String(cell) : visible(cell ?? "").replace(/^[=+\-@\t]/, "'$&"));
  const quoted = (cell) => (/[",\n\r]/.test(plain(cell)) ? `"${plain(cell).replace(/"/g, '""')}"` : plain(cell));
  const text = [heads, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${label.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
