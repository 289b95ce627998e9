"use strict";
(() => {
  const root = document.documentElement;
  const get = (id) => document.getElementById(id);

  // Light or dark: as the system says until the button is pressed; remembered where that works.
  const theme = get("theme");
  const remember = (value) => { try { localStorage.setItem("baft-theme", value); } catch { /* private */ } };
  try { root.dataset.theme = localStorage.getItem("baft-theme") || ""; } catch { /* private */ }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    remember(root.dataset.theme);
  });

  // Filter: an example stays if its text matches and one answer matches all the rest.
  const text = get("f-text"), arm = get("f-arm"), lost = get("f-lost"), state = get("f-state");
  const examples = [...document.querySelectorAll(".example")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
    answers: [...element.querySelectorAll(".answer")].map(({ dataset }) => ({
      arm: dataset.arm, lost: dataset.lost.split(" "), states: dataset.state.split(" "),
    })),
  }));
  const fits = (example) =>
    example.text.includes(text.value.toLowerCase()) &&
    example.answers.some((answer) =>
      (!arm.value || answer.arm === arm.value) &&
      (!lost.value || answer.lost.includes(lost.value)) &&
      (!state.value || answer.states.includes(state.value)));
  const filter = () => {
    let shown = 0;
    for (const example of examples) {
      example.element.hidden = !fits(example);
      shown += example.element.hidden ? 0 : 1;
    }
    get("f-count").textContent = `${shown} of ${examples.length}`;
  };
  get("filter").hidden = false;
  get("filter").addEventListener("input", filter);
  get("filter").addEventListener("submit", (event) => event.preventDefault());
  filter();

  const unfold = get("unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.textContent === "Open all";
    for (const { element } of examples) element.open = open;
    unfold.textContent = open ? "Close all" : "Open all";
  });

  // Deep links: #example-ID opens that example, whatever the filter hides.
  const follow = () => {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* not encoded */ }
    const target = id.startsWith("example-") ? get(id) : null;
    if (!target) return;
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", follow);
  follow();
})();
