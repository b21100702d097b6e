// What the page knows, see train/report/payload.py.

const data = JSON.parse(document.getElementById("data").textContent);

/** Undoes train/report/pack.py: {shape, values} with NaN where a number is missing. */
const unpacked = new WeakMap();
function unpack(packed) {
  if (!unpacked.has(packed)) unpacked.set(packed, decode(packed));
  return unpacked.get(packed);
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const letters = atob(base64);
  const found = new Uint8Array(letters.length);
  for (let i = 0; i < found.length; i++) found[i] = letters.charCodeAt(i);
  return found;
}

function decode({ scale, bytes, low, high, shape, data: text }) {
  const raw = bytesOf(text);
  const top = 256 ** bytes - 1;
  const log = scale === "log";
  const step = (high - low) / (top - (log ? 2 : 1));
  const values = new Float32Array(raw.length / bytes);
  for (let i = 0; i < values.length; i++) {
    const code = bytes === 1 ? raw[i] : raw[2 * i] + 256 * raw[2 * i + 1];
    if (code === top) values[i] = NaN;
    else if (!log) values[i] = low + code * step;
    else values[i] = code === 0 ? 0 : Math.exp(low + (code - 1) * step);
  }
  return { shape, values };
}

/** The vector at the first index, of an array of two axes. */
function row({ shape, values }, i) {
  return values.subarray(i * shape[1], (i + 1) * shape[1]);
}

const classesOf = (run) => data.class_sets[run.classes];

/** Class and its size, as text that Plotly takes for text. */
function labels(classes) {
  classes.labels ??= classes.names.map((name, i) => plain(named(classes, i)));
  return classes.labels;
}

function named({ names, counts }, i) {
  return counts ? `${names[i]} (${counts[i]} training examples)` : names[i];
}

const plain = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
function short(x) {
  if (!Number.isFinite(x)) return "–";
  return x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5)
    ? x.toExponential(1)
    : digits.format(x);
}

/** Pearson's correlation, over the pairs of numbers; NaN for fewer than 3. */
function correlation(x, y) {
  const pairs = [...x.keys()].filter((i) => isFinite(x[i]) && isFinite(y[i]));
  if (pairs.length < 3) return NaN;
  const mean = (v) => pairs.reduce((sum, i) => sum + v[i], 0) / pairs.length;
  const [a, b] = [mean(x), mean(y)];
  let [xx, yy, xy] = [0, 0, 0];
  for (const i of pairs) {
    xx += (x[i] - a) ** 2;
    yy += (y[i] - b) ** 2;
    xy += (x[i] - a) * (y[i] - b);
  }
  return xy / Math.sqrt(xx * yy);
}
