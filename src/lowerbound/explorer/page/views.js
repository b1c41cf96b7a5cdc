// What an example looks like: a picture, a row of a table, a piano roll, or words.

import { css } from "./colours.js";

export function viewFor(about) {
  return { image: ImageView, row: RowView, melody: RollView, text: TextView }[about.kind];
}

export class ImageView {
  constructor(home, about) {
    const [channels, height, width] = about.shape;
    Object.assign(this, { channels, canvas: canvasIn(home, width, height, "pixels") });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(width, height);
    this.image.data.fill(255);
    this.canvas.style.aspectRatio = `${width} / ${height}`;
  }

  show(bytes) {
    const { data } = this.image, last = this.channels - 1;
    for (let i = 0, n = data.length / 4; i < n; i++) {
      for (let c = 0; c < 3; c++) data[4 * i + c] = bytes[this.channels * i + Math.min(c, last)];
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

const WORD = 16, OTHERS = 2; // letters, and further categories told

export class RowView {
  constructor(home, about) {
    this.about = about;
    const table = element("table", home);
    this.cells = about.columns.map((name) => {
      const row = element("tr", table);
      const head = Object.assign(element("th", row), { textContent: name, scope: "row" });
      head.style.minWidth = `${Math.min(WORD, Math.max(...name.split(/\s/).map((word) => word.length)) + 2)}ch`;
      const cell = element("td", row, "value"), value = element("span", cell), others = element("small", cell);
      const bar = element("td", row, "share");
      return { value, others, bar, marks: [] };
    });
    if (about.more) element("p", home).textContent = about.more;
  }

  show(bytes) {
    const row = JSON.parse(new TextDecoder().decode(bytes));
    row.forEach(({ text, at, shares }, i) => {
      const { value, others, bar, marks } = this.cells[i];
      value.textContent = text;
      others.textContent = "";
      const wanted = shares ?? (at === null ? [] : [at]);
      while (marks.length < wanted.length) marks.push(element("i", bar));
      marks.forEach((mark, j) => {
        mark.className = shares ? "part" : "place";
        mark.hidden = j >= wanted.length;
        if (shares) {
          mark.style.width = `${100 * shares[j]}%`;
          mark.title = `${this.about.categories[i][j]} ${Math.round(100 * shares[j])} %`;
        } else if (at !== null) mark.style.left = `${5 + 90 * at}%`;
      });
      if (!shares) return;
      const told = shares.map((share, j) => [share, `${this.about.categories[i][j]} ${Math.round(100 * share)} %`]);
      const [first, ...rest] = told.sort(([a], [b]) => b - a).map(([, words]) => words);
      value.textContent = first;
      others.textContent = rest.slice(0, OTHERS).join(", ");
    });
  }
}

export class TextView {
  constructor(home) {
    this.home = element("p", home, "words");
  }

  show(bytes) {
    this.home.textContent = new TextDecoder().decode(bytes);
  }
}

const HOLD = 0, FIRST = 2, LOWEST = 21, BLACK = [1, 3, 6, 8, 10];
const SIXTEENTH = 0.125;

function notesOf(tokens) {
  const notes = [];
  let note = null;
  tokens.forEach((token, step) => {
    if (token === HOLD) return;
    if (note) note.end = step;
    note = token < FIRST ? null : { start: step, end: tokens.length, pitch: token - FIRST + LOWEST };
    if (note) notes.push(note);
  });
  return notes;
}

export class RollView {
  constructor(home, about) {
    this.steps = about.shape[0];
    this.bar = about.bar;
    this.canvas = canvasIn(home, 640, 320, "roll");
    this.notes = [];
    this.low = 60;
    this.high = 72;
    this.playing = null;
  }

  show(bytes) {
    this.notes = notesOf(bytes);
    this.draw(-1);
  }

  draw(now) {
    const pitches = this.notes.map((note) => note.pitch);
    this.low = Math.min(this.low, ...pitches.map((pitch) => pitch - 2));
    this.high = Math.max(this.high, ...pitches.map((pitch) => pitch + 2));
    const { canvas, low, high } = this, context = canvas.getContext("2d");
    const wide = canvas.width / this.steps, tall = canvas.height / (high - low + 1);
    const top = (pitch) => (high - pitch) * tall;
    context.fillStyle = css("--paper");
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (let pitch = low; pitch <= high; pitch++) {
      context.fillStyle = css("--wash");
      if (BLACK.includes(pitch % 12)) context.fillRect(0, top(pitch), canvas.width, tall);
      context.fillStyle = css("--muted");
      context.font = "20px system-ui";
      if (pitch % 12 === 0) context.fillText(`C${pitch / 12 - 1}`, 6, top(pitch) + tall - 2);
    }
    for (let step = 0; step < this.steps; step += this.bar / 4) {
      context.fillStyle = css(step % this.bar ? "--line" : "--muted");
      context.fillRect(step * wide, 0, step % this.bar ? 1 : 2, canvas.height);
    }
    context.fillStyle = css("--muted");
    if (!this.notes.length) context.fillText("no note", canvas.width / 2 - 30, canvas.height / 2);
    for (const { start, end, pitch } of this.notes) {
      context.fillStyle = css(start <= now && now < end ? "--alarm" : "--accent");
      context.beginPath();
      context.roundRect(start * wide + 1, top(pitch), (end - start) * wide - 3, tall, 4);
      context.fill();
    }
  }

  // Sounds the melody once; asked again while it sounds, ends it.
  play(ended) {
    if (this.playing) return this.playing.stop();
    const audio = new AudioContext(), begin = audio.currentTime + 0.05;
    const notes = this.notes;
    const out = new GainNode(audio, { gain: 0.4 });
    out.connect(audio.destination);
    for (const { start, end, pitch } of notes) {
      const from = begin + start * SIXTEENTH, to = begin + end * SIXTEENTH;
      const loudness = new GainNode(audio, { gain: 0 });
      loudness.connect(out);
      loudness.gain.setValueAtTime(0, from);
      loudness.gain.linearRampToValueAtTime(0.8, from + 0.01);
      loudness.gain.setTargetAtTime(0.15, from + 0.01, 0.4);
      loudness.gain.setTargetAtTime(0, to - 0.03, 0.02);
      const tone = new OscillatorNode(audio, { type: "triangle", frequency: 440 * 2 ** ((pitch - 69) / 12) });
      tone.connect(loudness);
      tone.start(from);
      tone.stop(to + 0.1);
    }
    const follow = () => {
      const now = (audio.currentTime - begin) / SIXTEENTH;
      this.draw(Math.floor(now));
      if (now >= this.steps) return this.playing?.stop();
      this.playing.frame = requestAnimationFrame(follow);
    };
    this.playing = {
      stop: () => {
        cancelAnimationFrame(this.playing.frame);
        this.playing = null;
        audio.close();
        this.draw(-1);
        ended();
      },
    };
    follow();
  }
}

export function element(name, home, className = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  home.append(made);
  return made;
}

function canvasIn(home, width, height, className) {
  return Object.assign(element("canvas", home, className), { width, height });
}
