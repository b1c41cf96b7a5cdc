// Colours: those of the page, of classes, and of scores.  Those of classes were found by search to be
// furthest apart for normal sight and under protanopia, deuteranopia and tritanopia at once.

const LIGHT = [
  "#0f6cda", "#e3cd07", "#740048", "#60e5ff", "#939afe",
  "#ac871b", "#312799", "#c14080", "#fa8a97", "#516404",
];
const DARK = [
  "#aaffff", "#d42a00", "#ffbf00", "#aa2aea", "#55aa95",
  "#ffff95", "#bfbfff", "#00806a", "#ea8015", "#bf80ff",
];
const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"].map(channels);
const dark = matchMedia("(prefers-color-scheme: dark)");

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const onTheme = (change) => dark.addEventListener("change", change);

export function channels(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

export function ofClass(number) {
  const colours = dark.matches ? DARK : LIGHT;
  return colours[number % colours.length];
}

// Of each value by its rank, so that a few extreme ones do not take all the colours.
export function byRank(values) {
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const colours = new Uint8Array(3 * values.length);
  order.forEach((i, rank) => {
    const place = (rank / Math.max(1, order.length - 1)) * (SCALE.length - 1);
    const low = Math.min(Math.floor(place), SCALE.length - 2);
    for (let c = 0; c < 3; c++) {
      colours[3 * i + c] = SCALE[low][c] + (place - low) * (SCALE[low + 1][c] - SCALE[low][c]);
    }
  });
  return colours;
}
