// Class by class: which examples put their gradient on which logit.

charts.matrix = {
  controls: () => [
    selectRun((run) => run.matrix),
    {
      name: "per",
      label: "Show",
      options: [
        ["sum", "sum over the examples of the class"],
        ["example", "mean per training example of the class"],
      ].slice(0, data.runs.some((run) => run.matrix && classesOf(run).counts) ? 2 : 1),
    },
  ],
  draw({ run: number, per }, colours, width) {
    const run = data.runs[number];
    const { block, values } = run.matrix;
    const { counts, names } = classesOf(run);
    const matrix = unpack(values);
    const size = matrix.shape[0];
    const scale = (i) => (per === "example" && counts ? Math.max(sizeOf(counts, i, block), 1) : 1);
    const z = Array.from({ length: size }, (_, i) => {
      const n = scale(i);
      return row(matrix, i).map((x) => (x > 0 ? Math.log10(x / n) : NaN));
    });
    const places = Array.from({ length: size }, (_, i) => i * block + (block + 1) / 2);
    const side = width < 520 ? width + 80 : Math.min(width, 640);
    const named = names.length <= (width < 640 ? 20 : LABELLED) && block === 1;
    const ticks = named ? { tickvals: places, ticktext: names.map((name) => plain(clipped(name, 10))) } : { nticks: 8 };
    const bar = Array.from(ticksOf(z), (power) => power);
    return {
      traces: [
        {
          type: "heatmap",
          x: places,
          y: places,
          z,
          colorscale: colours.scale,
          hoverinfo: "none", // `after` shows class names in a box of its own
          xgap: size <= 20 ? 1.5 : 0,
          ygap: size <= 20 ? 1.5 : 0,
          colorbar: {
            title: { text: "|gradient|", font: { size: 11, color: colours.soft }, side: "right" },
            tickvals: bar,
            ticktext: bar.map((power) => `10<sup>${power}</sup>`),
            tickfont: { size: 11, color: colours.soft },
            outlinewidth: 0,
            thickness: 12,
            len: 0.6,
            ...(width < 520 && { orientation: "h", y: -0.42, len: 0.9, title: { text: "" } }),
          },
        },
      ],
      layout: {
        width: Math.min(width, 760),
        height: side,
        xaxis: axis(colours, "logit (class vector)", { ...ticks, showgrid: false, zeroline: false, constrain: "domain", side: "bottom", tickangle: named ? -45 : 0 }),
        yaxis: axis(colours, "class of the example", { ...ticks, showgrid: false, zeroline: false, autorange: "reversed", scaleanchor: "x", constrain: "domain" }),
      },
    };
  },
  after(state) {
    const tip = document.getElementById("tip");
    state.plot.on("plotly_hover", ({ points: [{ pointNumber }], event }) => {
      const run = data.runs[state.choice.run];
      const [i, j] = pointNumber;
      tip.textContent = cellText(run, i, j, state.choice.per);
      tip.hidden = false;
      const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${Math.max(4, right)}px`;
      tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
    });
    state.plot.on("plotly_unhover", () => (tip.hidden = true));
    addEventListener("scroll", () => (tip.hidden = true), { passive: true });
    const holder = document.createElement("div");
    state.figure.append(holder);
    const list = () => holder.replaceChildren(largest(data.runs[state.choice.run]));
    state.figure.querySelector("select").addEventListener("change", list);
    list();
  },
};

function sizeOf(counts, i, block) {
  const inside = counts.slice(i * block, (i + 1) * block);
  return inside.reduce((sum, n) => sum + n, 0) / inside.length;
}

function* ticksOf(z) {
  let [low, high] = [Infinity, -Infinity];
  for (const line of z) {
    for (const value of line) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const step = Math.max(1, Math.ceil((high - low) / 6));
  for (let power = Math.ceil(low); power <= high; power += step) yield power;
}

const span = (names, i, block) =>
  block === 1 ? names[i] : `${names[i * block]} … ${names[Math.min((i + 1) * block, names.length) - 1]}`;

function cellText(run, i, j, per) {
  const { block, values } = run.matrix;
  const classes = classesOf(run);
  const one = (k) => (block === 1 ? named(classes, k) : span(classes.names, k, block));
  const value = row(unpack(values), i)[j];
  const many = per === "example" && classes.counts ? Math.max(sizeOf(classes.counts, i, block), 1) : 1;
  const what = i === j && block === 1 ? "on its own logit" : `on the logit of ${one(j)}`;
  return `examples of ${one(i)}\n${what}\n${short(value / many)}${block > 1 ? `, mean of ${block} × ${block} classes` : ""}`;
}

/** The cells beside the diagonal that hold most: the matrix for those who cannot hover. */
function largest(run, most = 10) {
  const { block, values } = run.matrix;
  const { names } = classesOf(run);
  const matrix = unpack(values);
  let found = [];
  let floor = 0;
  for (let i = 0; i < matrix.shape[0]; i++) {
    const line = row(matrix, i);
    for (let j = 0; j < line.length; j++) {
      if (i === j || !(line[j] > floor)) continue;
      found.push([line[j], i, j]);
      if (found.length > 4 * most) {
        found = found.sort((a, b) => b[0] - a[0]).slice(0, most);
        floor = found.at(-1)[0];
      }
    }
  }
  found = found.sort((a, b) => b[0] - a[0]).slice(0, most);
  const rows = found.map(([value, i, j]) => [span(names, i, block), span(names, j, block), value]);
  const folded = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = `The ${rows.length} largest cells beside the diagonal`;
  folded.append(summary, makeTable("Largest cells beside the diagonal", ["class of the example", "logit", "|gradient|"], rows, 2));
  return folded;
}
