// Formatting of numbers and times, and elements of the page. Text from the device is never set as HTML.

export const NOTHING = "\u2013";
const MINUS = "\u2212";

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4
    ? value.toExponential(digits - 1)
    : value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return text.replace("-", MINUS);
}

// A setting, with the fewest digits that give its exact value.
export function setting(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))).replace("-", MINUS) : NOTHING;
}

export function withUnit(value, unit, digits = 3) {
  const text = number(value, digits);
  return text === NOTHING ? text : `${text}\u202f${unit}`;
}

export function tick(value, step) {
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text = Math.abs(value) < step / 1e6 ? "0" : value.toFixed(Math.min(places, 6));
  return text.replace("-", MINUS);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function bytes(count) {
  if (count === null || count === undefined) return NOTHING;
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return withUnit(count / size, unit);
  }
  return `${count} B`;
}

export function clock(unixSeconds, withDate = true) {
  const time = new Date(unixSeconds * 1000);
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (withDate) Object.assign(options, { year: "numeric", month: "short", day: "numeric" });
  return new Intl.DateTimeFormat("en-GB", options).format(time);
}

export function element(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Replaces the children only if something has changed: no flicker, and a pressed button stays.
export function show(parent, key, ...children) {
  const text = JSON.stringify(key);
  if (parent.dataset.shown === text) return;
  parent.dataset.shown = text;
  parent.replaceChildren(...children.map((child) => (typeof child === "function" ? child() : child)).flat());
}

// A group of buttons of which one is pressed; the choice is stored in the browser.
export function choice(group, name, chosen) {
  const buttons = () => [...group.querySelectorAll("button")];
  const press = (value) => {
    for (const button of buttons()) button.setAttribute("aria-pressed", String(button.dataset[name] === value));
  };
  const stored = localStorage.getItem(`tremorscope ${name}`);
  if (stored !== null && buttons().some((button) => button.dataset[name] === stored)) press(stored);
  group.addEventListener("click", (event) => {
    const value = event.target.dataset?.[name];
    if (value === undefined) return;
    localStorage.setItem(`tremorscope ${name}`, value);
    press(value);
    chosen(value);
  });
  return () => buttons().find((button) => button.getAttribute("aria-pressed") === "true")?.dataset[name];
}
