// Colours, from the style sheet: light and dark, and the figures with them.

const root = document.documentElement;

/** Style sheets give `light-dark(...)` as it is; the colour of an element is settled. */
function look() {
  const probe = document.body.appendChild(document.createElement("i"));
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {};
  for (const name of ["paper", "raised", "ink", "soft", "line"]) found[name] = colour(name);
  found.series = Array.from({ length: 7 }, (_, i) => colour(`series-${i}`));
  found.scale = Array.from({ length: 5 }, (_, i) => [i / 4, colour(`scale-${i}`)]);
  probe.remove();
  return found;
}

const DASHES = ["solid", "dash", "dot", "dashdot"];
const colourOf = (colours, group) => colours.series[group % 7];
const dashOf = (group) => DASHES[Math.floor(group / 7) % DASHES.length];
const faint = (colour, opacity) => colour.replace(/rgba?\(([^,]+),([^,]+),([^,)]+).*/, `rgba($1,$2,$3,${opacity})`);

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.style.colorScheme || (systemDark.matches ? "dark" : "light")) === "dark";

/** The button says where it leads; a choice is kept where the browser lets us. */
function setUpTheme(changed) {
  const button = document.getElementById("theme");
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`);
    button.setAttribute("aria-pressed", String(isDark()));
    changed();
  };
  try {
    root.style.colorScheme = localStorage.getItem("theme") ?? "";
  } catch {
    // A file may have no storage.
  }
  button.addEventListener("click", () => {
    root.style.colorScheme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.style.colorScheme);
    } catch {
      // Then it is for this time only.
    }
    show();
  });
  systemDark.addEventListener("change", show);
  show();
}
