// A number per class, the most frequent class on the left.

const CROWDED = 150; // classes: then points and their running median instead of lines
const LABELLED = 30; // classes: more names than this do not fit below an axis

const QUANTITIES = [
  ["gradient_ratio", "ratio, positive / received"],
  ["positive", "positive: own examples, own logit"],
  ["received", "received: others’ examples on this logit"],
  ["caused", "caused: own examples on other logits"],
];

charts.gradients = {
  controls: () => [
    { name: "quantity", label: "Show", options: QUANTITIES.filter(([key]) => data.runs.some((run) => run.gradients?.[key])) },
    // It is in the first epochs that the tail starves; later all that is learnt is even.
    selectEpoch((run) => run.gradients?.epochs, 0),
  ],
  draw({ quantity, epoch }, colours) {
    const runs = visible((run) => run.gradients?.[quantity]);
    const values = (run) => row(unpack(run.gradients[quantity]), placeOf(run.gradients.epochs, epoch));
    const title = QUANTITIES.find(([key]) => key === quantity)[1];
    const { traces, layout } = perClass(runs, values, colours, short);
    const all = runs.flatMap((run) => Array.from(values(run)));
    layout.yaxis = logAxis(colours, quantity === "gradient_ratio" ? title : "|gradient|, sum over the epoch", all);
    if (quantity === "gradient_ratio") {
      layout.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: colours.soft, dash: "dot", width: 1 } });
    }
    return { traces, layout };
  },
};

charts.class_accuracy = {
  controls: () => [selectMeasured(() => true)],
  draw({ measured }, colours) {
    const runs = visible((run) => run.measured?.[measured]);
    const values = (run) => unpack(run.measured[measured].accuracy).values.map((x) => 100 * x);
    const { traces, layout } = perClass(runs, values, colours, (x) => `${x.toFixed(1)} %`);
    layout.yaxis = axis(colours, "accuracy (%)", { range: [-3, 103] });
    return { traces, layout };
  },
};

function selectMeasured(has) {
  const keys = data.runs.flatMap((run) => Object.entries(run.measured ?? {}).filter(([, found]) => has(found)));
  const names = [...new Set(keys.map(([key]) => key))];
  return { name: "measured", label: "On", options: names.map((key) => [key, key]), start: "test, last epoch" };
}

function perClass(runs, values, colours, say) {
  const traces = runs.flatMap((run) => {
    const y = values(run);
    const classes = classesOf(run);
    const x = Array.from(y, (_, i) => i + 1);
    const colour = colourOf(colours, run.group);
    const crowded = y.length > CROWDED;
    const points = {
      type: "scatter",
      x,
      y,
      mode: crowded ? "markers" : "lines+markers",
      line: { color: colour, width: 1.5, dash: dashOf(run.group) },
      marker: { color: crowded ? faint(colour, 0.3) : colour, size: crowded ? 4 : y.length > LABELLED ? 5 : 7 },
      text: labels(classes).map((label, i) => `<b>${plain(run.name)}</b><br>${label}<br>${say(y[i])}`),
      hovertemplate: "%{text}<extra></extra>",
    };
    if (!crowded) return [points];
    const middle = { type: "scatter", mode: "lines", x, y: runningMedian(y), line: { color: colour, width: 2.5 }, hoverinfo: "skip" };
    return [points, middle];
  });
  const sets = [...new Set(runs.map((run) => run.classes))];
  const classes = sets.map((i) => data.class_sets[i]).sort((a, b) => b.names.length - a.names.length)[0] ?? { names: [] };
  const size = Math.max(classes.names.length, 1);
  const named = sets.length === 1 && classes.names.length <= LABELLED;
  const order = sets.every((i) => data.class_sets[i].counts) ? "the most frequent first" : "by number";
  const layout = { shapes: [], annotations: [] };
  layout.xaxis = axis(colours, named ? "" : `rank of the class, ${order}`, {
    ...(named && { tickvals: classes.names.map((_, i) => i + 1), ticktext: classes.names.map((name) => plain(clipped(name))) }),
    range: [0.5 - 0.01 * size, 0.5 + 1.01 * size],
    zeroline: false,
    showgrid: false,
  });
  if (sets.length === 1 && classes.shots) markShots(classes.shots, layout, colours);
  return { traces, layout };
}

const clipped = (name, most = 14) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

/** Where few-shot classes begin, with a word above each part. */
function markShots(shots, layout, colours) {
  for (const name of ["many", "medium", "few"]) {
    const [first, last] = [shots.indexOf(name), shots.lastIndexOf(name)];
    if (first < 0) continue;
    const style = { showarrow: false, font: { size: 11, color: colours.soft } };
    layout.annotations.push({ ...style, text: name, x: (first + last) / 2 + 1, y: 1, yref: "paper", yanchor: "bottom" });
    if (first > 0) {
      const x = first + 0.5;
      layout.shapes.push({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colours.line, width: 1 } });
    }
  }
}

function runningMedian(y) {
  const half = Math.max(3, Math.round(y.length / 60));
  return Array.from(y, (_, i) => {
    const around = Array.from(y.slice(Math.max(0, i - half), i + half + 1)).filter(isFinite);
    return around.sort((a, b) => a - b)[around.length >> 1] ?? NaN;
  });
}

charts.vectors = {
  controls: () => [
    {
      name: "quantity",
      label: "Show",
      options: [
        ["norm", "norm of the class vector"],
        ["alignment", "alignment with the mean feature"],
      ].filter(([key]) => data.runs.some((run) => run.vectors?.[key])),
    },
    selectEpoch((run) => run.vectors?.epochs),
  ],
  draw({ quantity, epoch }, colours) {
    const runs = visible((run) => run.vectors?.[quantity]);
    const counted = runs.every((run) => classesOf(run).counts);
    const words = [];
    const traces = runs.map((run) => {
      const y = row(unpack(run.vectors[quantity]), placeOf(run.vectors.epochs, epoch));
      const classes = classesOf(run);
      const total = classes.counts?.reduce((sum, n) => sum + n, 0);
      const x = counted ? classes.counts.map((n) => (n > 0 ? Math.log(n / total) : NaN)) : Array.from(y, (_, i) => i + 1);
      if (counted) words.push([run, correlation(x, y)]);
      const colour = colourOf(colours, run.group);
      return {
        type: "scatter",
        mode: "markers",
        x,
        y,
        marker: { color: faint(colour, y.length > CROWDED ? 0.45 : 0.85), size: y.length > CROWDED ? 5 : 9 },
        text: labels(classes).map((label, i) => `<b>${plain(run.name)}</b><br>${label}<br>${short(y[i])}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const layout = {
      xaxis: axis(colours, counted ? "log prior: log of the share of the training examples" : "number of the class", { zeroline: false }),
      yaxis: axis(colours, quantity === "norm" ? "norm" : "cosine", { zeroline: false }),
      margin: { l: 56, r: 12, t: 28 + 16 * Math.min(words.length, 7), b: 44 },
      annotations: words.slice(0, 7).map(([run, r], i) => ({
        text: `r = ${isFinite(r) ? r.toFixed(2).replace("-", "−") : "–"}   ${plain(run.name)}`,
        font: { color: colourOf(colours, run.group), size: 12 },
        showarrow: false,
        xref: "paper",
        yref: "paper",
        x: 0,
        y: 1,
        yshift: 16 * (Math.min(words.length, 7) - i),
        xanchor: "left",
        yanchor: "middle",
      })),
    };
    return { traces, layout };
  },
};
