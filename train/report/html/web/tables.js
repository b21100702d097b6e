// Tables: sorted by the buttons in their heads.

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (tr) => tr.cells[column].dataset.key;
      const rows = [...body.rows].sort((a, b) => compare(key(a), key(b), down ? -1 : 1));
      body.append(...rows);
    });
  });
}

/** What is missing comes last whatever the direction. */
function compare(a, b, sign) {
  const [one, other] = [missing(a), missing(b)];
  if (one || other) return one - other;
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y);
}

const missing = (key) => key === "" || key === "nan" || key === "NaN";

/** Rows of texts and numbers; the first `words` columns are texts. */
function makeTable(caption, heads, rows, words) {
  const holder = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
  holder.setAttribute("role", "region");
  holder.setAttribute("aria-label", caption);
  const table = Object.assign(document.createElement("table"), { className: "sortable" });
  table.createCaption().textContent = caption;
  const head = table.createTHead().insertRow();
  heads.forEach((text, i) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.setAttribute("aria-sort", "none");
    if (i >= words) cell.className = "number";
    cell.append(Object.assign(document.createElement("button"), { type: "button", textContent: text }));
    head.append(cell);
  });
  const body = table.createTBody();
  for (const values of rows) {
    const line = body.insertRow();
    values.forEach((value, i) => {
      const cell = line.insertCell();
      cell.dataset.key = value;
      cell.textContent = typeof value === "number" ? short(value) : value;
      if (i >= words) cell.className = "number";
    });
  }
  sortable(table);
  holder.append(table);
  return holder;
}

/** Every class of the first run's classes, with what each method makes of it. */
function classTable() {
  const runs = data.runs.filter((run) => run.first && run.classes === data.runs[0].classes);
  const classes = classesOf(data.runs[0]);
  const columns = [];
  if (classes.counts) columns.push(["training examples", classes.counts]);
  for (const run of runs) {
    const accuracy = run.measured?.["test, last epoch"]?.accuracy;
    const ratio = run.gradients?.gradient_ratio;
    if (accuracy) columns.push([`test accuracy %, ${run.name}`, unpack(accuracy).values.map((x) => 100 * x)]);
    if (ratio) columns.push([`gradient ratio, ${run.name}`, row(unpack(ratio), ratio.shape[0] - 1)]);
  }
  if (!columns.length) return null;
  const rows = classes.names.map((name, i) => [name, ...columns.map(([, values]) => values[i])]);
  return makeTable("Classes, last epoch", ["class", ...columns.map(([title]) => title)], rows, 1);
}
