// Where codes lie to each other.

const STRAIGHT = 1e-4;

// So many codes from one to another, evenly along the arc between them; where they point the same way
// or opposite ways, or one is 0, along the straight line.
export function slerp(first, last, steps) {
  const lengths = Math.sqrt(dot(first, first) * dot(last, last));
  const angle = lengths ? Math.acos(Math.min(1, Math.max(-1, dot(first, last) / lengths))) : 0;
  const isStraight = Math.min(angle, Math.PI - angle) < STRAIGHT;
  return Array.from({ length: steps }, (_, k) => {
    const t = k / (steps - 1);
    const [a, b] = isStraight ? [1 - t, t] : [1 - t, t].map((part) => Math.sin(part * angle) / Math.sin(angle));
    return first.map((value, i) => a * value + b * last[i]);
  });
}

// The numbers of the codes (n, latent) that are nearest to z, nearest first.
export function nearest(codes, z, count) {
  const distances = Array.from({ length: codes.length / z.length }, (_, i) =>
    z.reduce((sum, value, j) => sum + (codes[i * z.length + j] - value) ** 2, 0));
  return [...distances.keys()].sort((a, b) => distances[a] - distances[b]).slice(0, count);
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
