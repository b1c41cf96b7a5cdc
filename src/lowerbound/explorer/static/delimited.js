// The rows of comma-separated values (RFC 4180), or of such as semicolons or tabs separate.

export function* rowsOf(text) {
  const first = /[^\r\n]*/.exec(text.replace(/^[\ufeff\r\n]+/, ""))[0];
  const mark = [",", ";", "\t"].find((each) => first.includes(each)) ?? ",";
  const stop = new RegExp(`[${mark}\r\n]`, "g");
  let at = text.startsWith("\ufeff") ? 1 : 0, row = [];
  while (at < text.length) {
    if (!row.length && /[\r\n]/.test(text[at])) {
      at += 1;
      continue;
    }
    const [quoted, begin] = text[at] === '"' ? quotedAt(text, at) : ["", at];
    stop.lastIndex = begin;
    const end = stop.exec(text)?.index ?? text.length;
    row.push(quoted + text.slice(begin, end));
    at = end + 1;
    if (text[end] === mark && at < text.length) continue;
    if (text[end] === mark) row.push("");
    yield row;
    row = [];
  }
}

// The text in quotes that begin at a place, and the place behind them.
function quotedAt(text, begin) {
  let end = begin;
  do end = text.indexOf('"', end + 1) + 1;
  while (end && text[end] === '"');
  if (!end) throw new Error("expected a second quote behind each that begins a cell, got none; correct the file");
  return [text.slice(begin + 1, end - 1).replaceAll('""', '"'), end];
}
