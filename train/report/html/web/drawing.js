// From a chart to the page: controls, the layout all share, drawing when in sight.

const charts = {}; // by key: {controls(), draw(choice, colours, width), after?}
const mounted = [];
const shown = { groups: new Set(data.groups.keys()), seeds: "first" };
const PRINT_WIDTH = 680;
let printing = false;

/** Runs to draw; where a line per seed would be too many, the first of each method. */
function visible(has, every = false) {
  return data.runs.filter(
    (run) => has(run) && shown.groups.has(run.group) && (every || shown.seeds === "all" || run.first),
  );
}

function mount(figure) {
  const state = {
    figure,
    plot: figure.querySelector(".plot"),
    chart: charts[figure.dataset.chart],
    choice: {},
    seen: false,
  };
  const controls = state.chart.controls?.() ?? [];
  figure.querySelector(".controls").append(...controls.map((each) => control(each, state)));
  mounted.push(state);
  return state;
}

/** A select of options [[value, label]], or a slider over them when `slides`. */
function control({ name, label, options, slides, start }, state) {
  const holder = document.createElement("label");
  holder.append(label);
  const first = slides ? (start ?? options.length - 1) : Math.max(options.findIndex(([value]) => value === start), 0);
  state.choice[name] = options[first]?.[0];
  if (slides) {
    const range = Object.assign(document.createElement("input"), { type: "range", min: 0, max: options.length - 1 });
    range.value = first;
    const output = document.createElement("output");
    const say = () => {
      output.textContent = options[range.value]?.[1] ?? "";
      range.setAttribute("aria-valuetext", `${label} ${output.textContent}`);
    };
    range.addEventListener("input", () => {
      state.choice[name] = options[range.value][0];
      say();
      render(state);
    });
    say();
    holder.append(range, output);
  } else {
    const select = document.createElement("select");
    select.append(...options.map(([value, text]) => new Option(text, value)));
    select.value = state.choice[name];
    select.addEventListener("change", () => {
      state.choice[name] = select.value;
      render(state);
    });
    holder.append(select);
  }
  holder.hidden = options.length < 2;
  holder.style.display = holder.hidden ? "none" : "";
  return holder;
}

const selectRun = (has) => ({
  name: "run",
  label: "Run",
  options: data.runs.map((run, i) => [String(i), run.name]).filter(([i]) => has(data.runs[i])),
});

/** A slider over the epochs that any run has; `start` is the place of the first shown. */
function selectEpoch(epochsOf, start) {
  const all = data.runs.flatMap((run) => epochsOf(run) ?? []);
  const epochs = [...new Set(all)].sort((a, b) => a - b);
  return { name: "epoch", label: "Epoch", slides: true, start, options: epochs.map((e) => [e, String(e)]) };
}

/** The place of an epoch, or of the last one before it. */
function placeOf(epochs, epoch) {
  let place = 0;
  epochs.forEach((each, i) => {
    if (each <= epoch) place = i;
  });
  return place;
}

function axis(colours, title, more = {}) {
  return {
    title: { text: title, font: { size: 12, color: colours.soft }, standoff: 8 },
    tickfont: { size: 11, color: colours.soft },
    gridcolor: colours.line,
    linecolor: colours.line,
    zerolinecolor: colours.line,
    automargin: true,
    ...more,
  };
}

/** Ticks at 1, 2 and 5, or at powers of ten, for the logarithms of positive numbers. */
function logAxis(colours, title, values, more = {}) {
  const known = values.filter((value) => value > 0 && isFinite(value));
  const [low, high] = known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const tickvals = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of high / low < 200 ? [1, 2, 5] : [1]) tickvals.push(digit * 10 ** power);
  }
  const narrow = high / low < 4; // then there may be one such tick or none
  const ticks = known.length && !narrow ? { tickvals, ticktext: tickvals.map(short) } : {};
  return axis(colours, title, { type: "log", ...ticks, ...more });
}

function base(colours, width, height) {
  return {
    width,
    height,
    margin: { l: 56, r: 12, t: 28, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colours.ink },
    hoverlabel: { bgcolor: colours.paper, bordercolor: colours.line, font: { color: colours.ink, size: 12 }, align: "left" },
    showlegend: false,
    hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  };
}

const CONFIG = {
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
};

function render(state) {
  if (!window.Plotly || !state.seen) return;
  const colours = look();
  const width = printing ? PRINT_WIDTH : state.plot.clientWidth;
  state.width = width;
  const { traces, layout } = state.chart.draw(state.choice, colours, width);
  const height = layout.height ?? parseInt(state.plot.style.minHeight);
  state.plot.style.minHeight = `${height}px`;
  Plotly.react(state.plot, traces, { ...base(colours, width, height), ...layout }, CONFIG);
  if (!state.figure.dataset.drawn) state.chart.after?.(state);
  state.figure.dataset.drawn = traces.length;
}

const renderAll = () => mounted.forEach(render);

/** Axes for panels side by side: each {title, y, traces}; hidden names are for hovering. */
function panels(list, colours, width, { x, height = 250, ...more }) {
  const most = width < 600 ? 1 : (width < 900 && !printing) || list.length === 4 ? 2 : 3;
  const columns = Math.min(most, list.length);
  if (printing) height *= 0.8;
  const rows = Math.ceil(list.length / columns);
  const layout = { height: rows * height + 30, annotations: [], ...more };
  const [gapX, gapY] = [[0, 0, 0.09, 0.065][columns], rows > 1 ? 62 / layout.height : 0];
  const [wide, high] = [(1 - gapX * (columns - 1)) / columns, (1 - gapY * (rows - 1)) / rows];
  const traces = list.flatMap((panel, i) => {
    const [column, line] = [i % columns, Math.floor(i / columns)];
    const left = column * (wide + gapX);
    const top = 1 - line * (high + gapY);
    const number = i ? i + 1 : "";
    const last = i + columns >= list.length;
    layout[`xaxis${number}`] = axis(colours, last ? x : "", { domain: [left, left + wide], anchor: `y${number}`, ...panel.x });
    layout[`yaxis${number}`] = axis(colours, "", { domain: [Math.max(0, top - high), top], anchor: `x${number}`, ...panel.y });
    layout.annotations.push({
      text: `<b>${panel.title}</b>`,
      font: { size: width / columns < 260 ? 10 : 12 },
      showarrow: false,
      xref: "paper",
      yref: "paper",
      x: left,
      y: top,
      xanchor: "left",
      yanchor: "bottom",
    });
    return panel.traces.map((trace) => ({ ...trace, xaxis: `x${number}`, yaxis: `y${number}` }));
  });
  return { traces, layout };
}
