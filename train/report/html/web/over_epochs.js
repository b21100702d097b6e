// A line per run over the epochs.

const CURVES = [
  ["loss", "training loss"],
  ["negative_log_likelihood", "−log likelihood"],
  ["balanced_accuracy", "balanced accuracy"],
  ["gradient_norm", "gradient norm"],
  ["learning_rate", "learning rate"],
];

/** Seeds of a method share its colour; the first is drawn strongest. */
function line(run, x, y, colours, more = {}) {
  const colour = colourOf(colours, run.group);
  return {
    type: "scatter",
    mode: x.length < 3 ? "lines+markers" : "lines",
    name: plain(run.name),
    x,
    y,
    line: { color: run.first ? colour : faint(colour, 0.45), width: run.first ? 2 : 1.2, dash: dashOf(run.group) },
    hovertemplate: `%{y:.4g}<extra>${plain(run.name)}</extra>`,
    ...more,
  };
}

charts.curves = {
  draw(_, colours, width) {
    const runs = visible((run) => run.curves, true);
    const keys = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].filter((key) => key !== "epoch");
    const known = CURVES.flatMap(([name, title]) =>
      keys.filter((key) => key.split(", ")[0] === name).map((key) => [key, key === name ? title : key.replace(name, title)]),
    );
    const list = known.map(([key, title]) => ({
      title,
      y: key.startsWith("balanced_accuracy") ? { ticksuffix: " %" } : {},
      traces: runs
        .filter((run) => run.curves[key])
        .map((run) => {
          const percent = key.startsWith("balanced_accuracy");
          const y = run.curves[key].map((v) => (v === null ? null : percent ? 100 * v : v));
          return line(run, run.curves.epoch, y, colours);
        }),
    }));
    return panels(list, colours, width, { x: "epoch", hovermode: "x" });
  },
};

charts.evenness = {
  draw(_, colours, width) {
    const runs = visible((run) => run.evenness, true);
    const keys = [...new Set(runs.flatMap((run) => Object.keys(run.evenness)))];
    const list = keys.map((key) => ({
      title: key,
      y: key.startsWith("correlation") ? { range: [-1.05, 1.05] } : { rangemode: "tozero" },
      traces: runs
        .filter((run) => run.evenness[key])
        .map((run) => line(run, run.evenness[key].epochs, run.evenness[key].values, colours)),
    }));
    return panels(list, colours, width, { x: "epoch", hovermode: "x" });
  },
};

charts.shares = {
  controls: () => [{ name: "by", label: "By", options: keysOf((run) => run.shares) }],
  draw({ by }, colours, width) {
    const runs = visible((run) => run.shares?.[by], true);
    const groups = [...new Set(runs.flatMap((run) => run.shares[by].groups))];
    const list = groups.map((group) => ({
      title: plain(group),
      y: { rangemode: "tozero", ticksuffix: " %" },
      traces: runs.flatMap((run) => shareLines(run, run.shares[by], group, colours)),
    }));
    return panels(list, colours, width, { x: "epoch", hovermode: "x" });
  },
};

function shareLines(run, { epochs, groups, share, count }, group, colours) {
  const place = groups.indexOf(group);
  if (place < 0) return [];
  const percent = (values) => {
    const total = epochs.map((_, e) => values.reduce((sum, v) => sum + (v[e] ?? 0), 0));
    return values[place].map((v, e) => (v === null || !total[e] ? null : (100 * v) / total[e]));
  };
  const lines = [line(run, epochs, percent(share), colours)];
  if (count && run.first) {
    const colour = faint(colourOf(colours, run.group), 0.8);
    lines.push(line(run, epochs, percent(count), colours, { line: { color: colour, width: 1.2, dash: "dot" }, hoverinfo: "skip", hovertemplate: null }));
  }
  return lines;
}

charts.agreement = {
  draw(_, colours, width) {
    const runs = visible((run) => run.agreement, true);
    const pairs = [...new Set(runs.flatMap((run) => Object.keys(run.agreement.pairs)))];
    const list = pairs.map((pair) => ({
      title: plain(pair),
      y: { range: [-1.05, 1.05] },
      traces: runs
        .filter((run) => run.agreement.pairs[pair])
        .map((run) => line(run, run.agreement.epochs, run.agreement.pairs[pair], colours)),
    }));
    return panels(list, colours, width, { x: "epoch", hovermode: "x" });
  },
};

function keysOf(part) {
  const keys = new Set(data.runs.flatMap((run) => Object.keys(part(run) ?? {})));
  return [...keys].map((key) => [key, key]);
}
