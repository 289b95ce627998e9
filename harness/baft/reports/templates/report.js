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

  // Every example as numbers; those whose answers are in this file have an element.
  const PAGE = 50;
  const list = get("list"), form = get("filter"), pager = get("pager"), unfold = get("unfold");
  const data = JSON.parse(get("data").textContent);
  const names = [...get("f-arm").options].slice(1).map((option) => option.text);
  const rows = data.rows.map(([anchor, title, id, tags, answers], place) => ({
    anchor, title, id, tags, place, element: get(anchor), text: "",
    answers: answers.map((found) => {
      const [score, tone, lost, states] = found || [null, "void", [], []];
      return { score, tone, lost, states };
    }),
  }));
  const make = (tag, name, text = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  };
  const chip = ({ score, tone }, arm) => {
    const element = make("span", `chip ${tone}`);
    element.title = names[arm];
    element.append(make("i", `dot a${arm % 6}`), score === null ? "n/a" : score.toFixed(4));
    return element;
  };
  const element = (row) => {
    if (!row.element) {
      const chips = make("span", "chips");
      chips.append(...row.answers.map(chip));
      row.element = make("div", "example brief");
      row.element.id = row.anchor;
      row.element.append(make("span", "title", row.title), make("code", "", row.id), chips);
    }
    return row.element;
  };
  const text = (row) => {
    row.text ||= `${row.id} ${row.element ? row.element.textContent : row.title}`.toLowerCase();
    return row.text;
  };

  // Filter: the example's text and tag, and one answer that meets all the rest.
  const value = (id) => get(id).value;
  const gain = (row, answer) => {
    const other = row.answers[data.reference];
    return !other || other === answer || other.score === null || answer.score === null
      ? null : answer.score - other.score;
  };
  const OUTCOMES = { better: (g) => g > 1e-9, worse: (g) => g < -1e-9, equal: (g) => Math.abs(g) <= 1e-9 };
  const considered = (row) => value("f-arm") ? [row.answers[value("f-arm")]] : row.answers;
  const tests = () => {
    const found = [];
    const [lost, state, outcome] = [value("f-lost"), value("f-state"), OUTCOMES[value("f-outcome")]];
    const [least, most] = [value("f-least"), value("f-most")];
    if (lost) found.push((row, answer) => answer.lost.includes(+lost));
    if (state) found.push((row, answer) => answer.states.includes(data.states.indexOf(state)));
    if (outcome) found.push((row, answer) => gain(row, answer) !== null && outcome(gain(row, answer)));
    if (least) found.push((row, answer) => answer.score !== null && answer.score >= +least - 5e-5);
    if (most) found.push((row, answer) => answer.score !== null && answer.score <= +most + 5e-5);
    return found;
  };
  const numbers = (row, key) => considered(row).map((answer) => key(row, answer)).filter((n) => n !== null);
  const score = (row, answer) => answer.score;
  const ORDERS = {
    worst: (row) => considered(row).some((a) => a.score === null) ? -1e9 : Math.min(...numbers(row, score)),
    best: (row) => -Math.max(-1e9, ...numbers(row, score)),
    loss: (row) => Math.min(1e9, ...numbers(row, gain)),
    gain: (row) => -Math.max(-1e9, ...numbers(row, gain)),
    spread: (row) => {
      const found = row.answers.map((answer) => answer.score).filter((n) => n !== null);
      return found.length ? Math.min(...found) - Math.max(...found) : 0;
    },
  };

  let shown = rows, page = 0;
  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    list.replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(element));
    pager.hidden = pages < 2;
    get("page").textContent = `page ${page + 1} of ${pages}`;
    get("before").disabled = page === 0;
    get("after").disabled = page === pages - 1;
    get("count").textContent = `${shown.length} of ${rows.length} examples`;
  };
  const filter = () => {
    const words = value("f-text").toLowerCase(), tag = value("f-tag"), all = tests();
    shown = rows.filter((row) =>
      (!tag || row.tags.includes(+tag)) &&
      (!words || text(row).includes(words)) &&
      considered(row).some((answer) => all.every((test) => test(row, answer))));
    const order = ORDERS[value("f-order")];
    if (order) {
      const keys = new Map(shown.map((row) => [row, order(row)]));
      shown.sort((a, b) => keys.get(a) - keys.get(b) || a.place - b.place);
    }
    page = 0;
    list.classList.toggle("unmarked", !get("f-marks").checked);
    draw();
  };
  const turn = (by) => { page += by; draw(); get("examples").scrollIntoView(); };
  let waiting = 0;
  form.hidden = false;
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 80); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  get("before").addEventListener("click", () => turn(-1));
  get("after").addEventListener("click", () => turn(1));
  filter();

  unfold.addEventListener("click", () => {
    const open = unfold.textContent === "Open these";
    for (const one of list.querySelectorAll("details.example")) one.open = open;
    unfold.textContent = open ? "Close these" : "Open these";
  });

  // Deep links: #ex-ID opens that example, whatever the filter or the page hides.
  const follow = (hash) => {
    let anchor = hash.slice(1);
    try { anchor = decodeURIComponent(anchor); } catch { /* not encoded */ }
    const row = rows.find((one) => one.anchor === anchor);
    if (!row) return;
    if (!shown.includes(row)) { form.reset(); filter(); }
    page = Math.floor(shown.indexOf(row) / PAGE);
    draw();
    const target = element(row);
    target.open = true;
    target.scrollIntoView();
    (target.querySelector("summary") || target).focus({ preventScroll: true });
  };
  addEventListener("hashchange", () => follow(location.hash));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#ex-']");
    if (link && link.hash === location.hash) follow(link.hash);
  });
  follow(location.hash);
})();
