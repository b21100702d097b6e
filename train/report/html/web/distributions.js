// Scores with their intervals, histograms of log-odds, and calibration.

charts.scores = {
  controls() {
    const keys = [...new Set(data.scores.map((score) => `${score.split}, ${score.when} epoch`))];
    return [{ name: "measured", label: "On", options: keys.map((key) => [key, key]), start: "test, last epoch" }];
  },
  draw({ measured }, colours, width) {
    const scores = data.scores.filter(
      (score) => `${score.split}, ${score.when} epoch` === measured && shown.groups.has(score.group) && data.metrics[score.metric].endsWith("%"),
    );
    const metrics = Object.keys(data.metrics).filter((key) => scores.some((score) => score.metric === key));
    const groups = [...new Set(scores.map((score) => score.group))];
    const traces = groups.map((group, i) => {
      const own = metrics.map((key) => scores.find((score) => score.group === group && score.metric === key));
      const colour = colourOf(colours, group);
      const step = Math.min(0.16, 0.7 / groups.length);
      return {
        type: "scatter",
        mode: "markers",
        x: own.map((score) => score?.value),
        y: metrics.map((_, m) => m + (i - (groups.length - 1) / 2) * step),
        marker: { color: colour, size: 9, symbol: ["circle", "square", "diamond"][Math.floor(group / 7) % 3] },
        error_x: {
          type: "data",
          symmetric: false,
          array: own.map((score) => (score?.high ?? score?.value) - score?.value),
          arrayminus: own.map((score) => score?.value - (score?.low ?? score?.value)),
          color: colour,
          thickness: 1.6,
          width: 4,
        },
        text: own.map((score) => score && scoreText(score)),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    return {
      traces,
      layout: {
        height: 90 + metrics.length * Math.max(44, 15 * groups.length),
        xaxis: axis(colours, "%", { zeroline: false }),
        yaxis: axis(colours, "", {
          tickvals: metrics.map((_, i) => i),
          ticktext: metrics.map((key) => data.metrics[key].replace(" %", "")),
          tickfont: { size: width < 640 ? 11 : 12.5, color: colours.ink },
          range: [metrics.length - 0.5, -0.5],
          showgrid: false,
          zeroline: false,
        }),
      },
    };
  },
};

function scoreText({ group, metric, value, low, high, kind }) {
  const ends = low === null ? "no interval" : `95 % ${kind}: ${low.toFixed(1)} to ${high.toFixed(1)}`;
  return `<b>${plain(data.groups[group].name)}</b><br>${data.metrics[metric]}: ${value.toFixed(1)}<br>${ends}`;
}

charts.histograms = {
  controls: () => [
    { name: "by", label: "By", options: keysOf((run) => run.histograms) },
    selectEpoch((run) => Object.values(run.histograms ?? {})[0]?.epochs),
  ],
  draw({ by, epoch }, colours, width) {
    const runs = visible((run) => run.histograms?.[by]);
    const range = occupied(runs.map((run) => run.histograms[by]));
    const list = runs.map((run) => {
      const { epochs, groups, edges, counts } = run.histograms[by];
      const { shape, values } = unpack(counts);
      const bins = shape[2];
      const start = placeOf(epochs, epoch) * shape[1] * bins;
      const middles = edges.slice(1).map((edge, i) => (edge + edges[i]) / 2);
      return {
        title: plain(run.name),
        y: { ticksuffix: " %", rangemode: "tozero" },
        x: { zeroline: true, zerolinecolor: colours.soft, range },
        traces: groups.map((group, g) => {
          const own = values.subarray(start + g * bins, start + (g + 1) * bins);
          const total = own.reduce((sum, n) => sum + n, 0);
          const colour = colours.series[[0, 4, 1][g] ?? g];
          return {
            type: "scatter",
            mode: "lines",
            x: middles,
            y: Array.from(own, (n) => (total ? (100 * n) / total : null)),
            line: { shape: "hvh", color: colour, width: 1.6 },
            fill: "tozeroy",
            fillcolor: faint(colour, 0.13),
            name: group,
            hovertemplate: `%{y:.1f} %<extra>${plain(group)}</extra>`,
          };
        }),
      };
    });
    const drawn = panels(list, colours, width, { x: "log-odds of the label", height: 270, hovermode: "x" });
    nameGroups(runs[0]?.histograms[by].groups ?? [], drawn.layout, colours);
    return drawn;
  },
};

/** The bins that hold anything in any epoch, so that the slider moves what it shows. */
function occupied(histograms) {
  let [low, high] = [Infinity, -Infinity];
  for (const { edges, counts } of histograms) {
    const bins = edges.length - 1;
    unpack(counts).values.forEach((n, i) => {
      if (!(n > 0)) return;
      low = Math.min(low, edges[i % bins]);
      high = Math.max(high, edges[(i % bins) + 1]);
    });
  }
  return low < high ? [low, high] : undefined;
}

/** Inside a run the colours are of groups: a legend of its own, above. */
function nameGroups(groups, layout, colours) {
  const words = groups.map((group, g) => `<span style="color:${colours.series[[0, 4, 1][g] ?? g]}">■</span> ${plain(group)}`);
  layout.annotations.push({ text: words.join("   "), showarrow: false, xref: "paper", yref: "paper", x: 1, y: 1, yshift: 18, xanchor: "right", yanchor: "bottom" });
  layout.margin = { l: 56, r: 12, t: 52, b: 44 };
}

charts.calibration = {
  controls: () => [selectMeasured((found) => found.calibration)],
  draw({ measured }, colours, width) {
    const runs = visible((run) => run.measured?.[measured]?.calibration);
    const points = runs.map((run) => {
      const { confidence, accuracy, count } = run.measured[measured].calibration;
      const kept = count.map((n, i) => i).filter((i) => count[i] > 0);
      const pick = (values) => kept.map((i) => values[i]);
      return { run, x: pick(confidence), y: pick(accuracy), n: pick(count), bins: count.length };
    });
    const lines = points.map(({ run, x, y, n }) => {
      const colour = colourOf(colours, run.group);
      return {
        type: "scatter",
        mode: "lines+markers",
        x,
        y,
        line: { color: colour, width: 1.6, dash: dashOf(run.group) },
        marker: { color: colour, size: 6 },
        text: n.map((each, i) => `<b>${plain(run.name)}</b><br>confidence ${short(x[i])}, accuracy ${short(y[i])}<br>${each} examples`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const bars = points.map(({ run, x, n, bins }) => ({
      type: "bar",
      xaxis: "x",
      yaxis: "y2",
      x: x.map((value) => (Math.min(Math.ceil(value * bins), bins) - 0.5) / bins),
      y: n,
      marker: { color: colourOf(colours, run.group) },
      hovertemplate: `%{y} examples<extra>${plain(run.name)}</extra>`,
    }));
    return {
      traces: [...lines, ...bars],
      layout: {
        width: Math.min(width, 620),
        bargap: 0.15,
        xaxis: axis(colours, "confidence: the largest probability", { range: [-0.02, 1.02], anchor: "y2", zeroline: false }),
        yaxis: axis(colours, "accuracy", { range: [-0.02, 1.02], domain: [0.32, 1], zeroline: false }),
        yaxis2: axis(colours, "examples", { domain: [0, 0.24], nticks: 4 }),
        shapes: [{ type: "line", x0: 0, y0: 0, x1: 1, y1: 1, line: { color: colours.soft, dash: "dot", width: 1 } }],
      },
    };
  },
};
