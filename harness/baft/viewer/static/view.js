"use strict";
(() => {
  const root = document.documentElement;
  const get = (id) => document.getElementById(id);

  // Light or dark: as the system says until the button is pressed; shared with the reports.
  const theme = get("theme");
  try { root.dataset.theme = localStorage.getItem("baft-theme") || ""; } catch { /* private */ }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    try { localStorage.setItem("baft-theme", root.dataset.theme); } catch { /* private */ }
  });

  // Parts come from this server, rendered and escaped there; a template element runs no script.
  const fetchPart = async (address) => {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    const template = document.createElement("template");
    template.innerHTML = await answer.text();
    return template.content;
  };

  // Answers are fetched when an example is opened, charts when their page is.
  const load = async (element) => {
    if (element.dataset.loaded) return;
    element.dataset.loaded = "1";
    try { element.append(await fetchPart(element.dataset.part)); } catch { delete element.dataset.loaded; }
  };
  for (const example of document.querySelectorAll("details[data-part]")) {
    example.addEventListener("toggle", () => { if (example.open) load(example); });
  }
  for (const chart of document.querySelectorAll(".trend")) {
    fetchPart(chart.dataset.part).then(
      (part) => chart.querySelector("p").replaceWith(part),
      () => chart.remove());  // fewer than two runs
  }

  // A run that is not finished is looked at again until it is; once it was, the page is whole anew.
  const follow = get("follow");
  const look = async () => {
    let state = follow.dataset.follow;
    try {
      const part = await fetchPart(follow.dataset.part);
      state = part.querySelector("#live").dataset.state;
      follow.replaceChildren(part);
    } catch { /* the viewer was stopped, or the run is being written: next time */ }
    if (state === "finished") location.reload();
    else setTimeout(look, state === "running" ? 1500 : 6000);
  };
  if (follow && follow.dataset.follow) setTimeout(look, 1500);

  // Two runs can be compared, no more and no fewer.
  const runs = get("runs");
  const count = () => {
    const chosen = runs.querySelectorAll("input:checked").length;
    runs.querySelector("button").disabled = chosen !== 2;
    get("chosen").textContent = `${chosen} of 2 chosen`;
  };
  if (runs) { runs.addEventListener("change", count); count(); }
})();
