// Puts the page together: what is far below is drawn when it comes near.

function legend() {
  const bar = document.createElement("div");
  bar.id = "legend";
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Methods shown in the figures");
  data.groups.forEach(({ name }, group) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const mark = Object.assign(document.createElement("i"), { className: "mark" });
    mark.style.setProperty("--mark", `var(--series-${group % 7})`);
    button.append(mark, name);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const on = !shown.groups.has(group);
      shown.groups[on ? "add" : "delete"](group);
      button.setAttribute("aria-pressed", String(on));
      renderAll();
    });
    bar.append(button);
  });
  if (data.runs.some((run) => !run.first)) {
    const select = document.createElement("select");
    select.append(new Option("the first seed", "first"), new Option("every seed", "all"));
    select.addEventListener("change", () => {
      shown.seeds = select.value;
      renderAll();
    });
    const label = document.createElement("label");
    label.append("Figures per class show ", select);
    bar.append(label);
  }
  document.querySelector("nav").after(bar);
}

/** Calls back once when an element is near the window. */
function near(element, call) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      call();
    },
    { rootMargin: "400px" },
  );
  watch.observe(element);
}

function see(state) {
  state.seen = true;
  render(state);
}

async function loadLibrary() {
  // Words and tables first: to compile the library takes the browser a second.
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const packed = document.getElementById("library");
  const stream = new Blob([bytesOf(packed.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  packed.remove();
}

function fillClassTable() {
  const holder = document.getElementById("class-table");
  if (holder.childElementCount) return;
  const table = classTable();
  if (table) holder.append(table);
  else holder.textContent = "Neither class names nor statistics.";
}

function preparePrinting() {
  let before = "";
  addEventListener("beforeprint", () => {
    if (printing) return;
    before = root.style.colorScheme;
    root.style.colorScheme = "light";
    printing = true;
    fillClassTable();
    mounted.forEach(see);
  });
  addEventListener("afterprint", () => {
    root.style.colorScheme = before;
    printing = false;
    renderAll();
  });
}

/** A width that changed, as of a turned phone; heights are ours. */
function followWidth() {
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      mounted.filter((state) => state.width !== state.plot.clientWidth).forEach(render);
    }, 120);
  });
}

legend();
document.querySelectorAll("table.sortable").forEach(sortable);
const states = [...document.querySelectorAll(".chart")].map(mount);
setUpTheme(renderAll);
near(document.getElementById("class-table"), fillClassTable);
followWidth();
loadLibrary()
  .then(() => {
    preparePrinting();
    states.forEach((state) => near(state.figure, () => see(state)));
    root.dataset.ready = "true";
  })
  .catch((error) => {
    const note = Object.assign(document.createElement("p"), { className: "gap" });
    note.textContent = `The figures could not be drawn, they need a browser from 2024 or later: ${error}`;
    document.getElementById("summary").prepend(note);
    console.error(error);
  });
