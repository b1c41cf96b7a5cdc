// Days since 1970 as dates of a format such as %d.%m.%Y, and back.

const A_DAY = 86_400_000;
const FIRST = -719_162 * A_DAY, LAST = 2_932_897 * A_DAY - 1000;
const PARTS = {
  Y: [String.raw`\d{4}`, (date) => String(date.getUTCFullYear()).padStart(4, "0")],
  y: [String.raw`\d{2}`, (date) => two(date.getUTCFullYear() % 100)],
  m: [String.raw`\d{1,2}`, (date) => two(date.getUTCMonth() + 1)],
  d: [String.raw`\d{1,2}`, (date) => two(date.getUTCDate())],
  H: [String.raw`\d{1,2}`, (date) => two(date.getUTCHours())],
  M: [String.raw`\d{1,2}`, (date) => two(date.getUTCMinutes())],
  S: [String.raw`\d{1,2}`, (date) => two(date.getUTCSeconds())],
  f: [String.raw`\d{1,6}`, (date) => `${String(date.getUTCMilliseconds()).padStart(3, "0")}000`],
  z: [String.raw`Z|[+-]\d{2}:?\d{2}`, () => "+0000"],
};
const two = (number) => String(number).padStart(2, "0");

// Those of the years 1 to 9999, the nearest to others.
export function dateOf(days, form) {
  const exact = /%[HMSf]/.test(form) ? days : Math.round(days);
  const date = new Date(Math.round(Math.min(LAST, Math.max(FIRST, exact * A_DAY))));
  return form.replace(/%(\w)/g, (part, letter) => PARTS[letter]?.[1](date) ?? part);
}

// The days of a date; NaN of what is none.
export function daysOf(text, form) {
  const escaped = form.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const written = escaped.replace(/%(\w)/g, (_, letter) => `(?<${letter}>${PARTS[letter]?.[0] ?? "(?!)"})`);
  const parts = new RegExp(`^${written}$`).exec(text)?.groups;
  if (!parts) return NaN;
  const { Y, y, m = 1, d = 1, H = 0, M = 0, S = 0, f = "", z = "Z" } = parts;
  const year = Number(Y ?? (y ? Number(y) + (Number(y) < 69 ? 2000 : 1900) : 1900));
  const date = new Date(Date.UTC(2000, m - 1, d, H, M, S));
  date.setUTCFullYear(year, m - 1, d);
  if (date.getUTCMonth() !== m - 1 || H > 23 || M > 59 || S > 59) return NaN;
  const [, sign, hours, minutes] = /([+-])(\d{2}):?(\d{2})/.exec(z) ?? [null, "+", 0, 0];
  const ahead = (sign === "-" ? -1 : 1) * (60 * hours + Number(minutes));
  return (date.getTime() + Number(`0.${f || 0}`) * 1000 - 60_000 * ahead) / A_DAY;
}
