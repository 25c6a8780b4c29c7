// Numbers, times and text as people read them, and elements without markup: whatever a run says stays text.

const NONE = "–";

// Characters that a page shows as nothing, or that turn the direction of what follows, as their code
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function visible(text) {
  return String(text).replace(HIDDEN, (letter) => "\\u" + letter.charCodeAt(0).toString(16).padStart(4, "0"));
}

function shorten(text, most = 60) {
  const letters = [...visible(String(text).slice(0, 2 * most)).replace(/[\n\t]+/g, " ")];
  return letters.length <= most ? letters.join("") : letters.slice(0, most - 1).join("") + "…";
}

// Both ends stay: names differ there
function shortenInMiddle(text, most) {
  const letters = [...shorten(text, 400)];
  const tail = Math.floor((most - 1) / 2);
  return letters.length <= most ? letters.join("") : [...letters.slice(0, most - 1 - tail), "…", ...letters.slice(-tail)].join("");
}

// If a name is too long, names lose the parts that are the same in all of them, so that those of a sweep can be told apart
function shortNames(names, most) {
  let shown = names.map((name) => shorten(name, 400));
  if (shown.some((name) => [...name].length > most)) {
    const parts = shown.map((name) => name.split(/[,;:=/ ]+/));
    const differing = [...parts[0].keys()].filter((place) => new Set(parts.map((each) => each[place])).size > 1);
    const short = parts.map((each) => differing.map((place) => each[place]).join(","));
    const sizes = [short, shown].map((each) => new Set(each).size);
    if (new Set(parts.map((each) => each.length)).size === 1 && sizes[0] === sizes[1] && sizes[0] > 1) shown = short;
  }
  return shown.map((name) => shortenInMiddle(name, most));
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child != null && child !== false) made.append(child);
  }
  return made;
}

// A metric value or an option: short, and the same digits wherever it is shown
function numberText(value, digits = 5) {
  if (value == null) return NONE;
  if (typeof value !== "number") return shorten(value);
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "−inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value).replace("-", "−");
  const short = size < 1e-4 || size >= 1e6 ? value.toExponential(digits - 1) : value.toPrecision(digits);
  return trimmed(short).replace(/e\+?/, "e").replace(/-/g, "−");
}

function trimmed(text) {
  return text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
}

function countText(value) {
  return value == null ? NONE : Math.round(value).toLocaleString("en").replace(/,/g, "\u202f");
}

function counted(number, noun) {
  return `${countText(number)} ${noun}${number === 1 ? "" : "s"}`;
}

function durationText(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 0) return "−" + durationText(-seconds);
  if (seconds === 0) return "0 s";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24;
  const two = (part) => String(part).padStart(2, "0");
  if (days) return `${countText(days)} d ${two(hours)} h`;
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${two(minutes)} min` : `${minutes} min ${two(whole % 60)} s`;
}

function coreHoursText(seconds) {
  if (seconds == null) return NONE;
  const hours = seconds / 3600;
  if (hours >= 100) return countText(hours);
  return hours >= 0.01 || hours === 0 ? hours.toFixed(hours >= 10 ? 1 : 2) : numberText(hours, 2);
}

function dateText(unix) {
  const date = new Date((unix ?? NaN) * 1000);
  if (Number.isNaN(date.getTime())) return NONE;
  const two = (part) => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// The unit for an axis of so many seconds
function timeUnit(seconds) {
  if (seconds > 3 * 86400) return { name: "days", seconds: 86400 };
  if (seconds > 2 * 3600) return { name: "hours", seconds: 3600 };
  if (seconds > 3 * 60) return { name: "minutes", seconds: 60 };
  return { name: "seconds", seconds: 1 };
}

function listed(names, most = 3) {
  const shown = names.slice(0, most).map((name) => shorten(name, 40));
  if (names.length > most) return `${shown.join(", ")} and ${countText(names.length - most)} more`;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}` : shown.join("");
}
