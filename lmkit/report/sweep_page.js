"use strict";
// Looks at trials: what the pointer or the arrow keys are at, in all charts; sorts and narrows the table.
const tip = document.getElementById("tip"), table = document.getElementById("trials");
const heads = table ? [...table.tHead.rows[0].cells] : [];
const marks = new Map();
document.querySelectorAll("[data-t]").forEach(mark => {
  mark.corners = mark.getAttribute("d").match(/[\d.-]+ [\d.-]+/g).map(pair => pair.split(" ").map(Number));
  marks.set(mark.dataset.t, [...(marks.get(mark.dataset.t) || []), mark]);
});

function look(trial, x, y) {
  document.querySelectorAll(".hover").forEach(path => path.removeAttribute("d"));
  tip.hidden = trial === undefined;
  if (tip.hidden) return;
  for (const mark of marks.get(trial)) mark.ownerSVGElement.querySelector(".hover").setAttribute("d", mark.getAttribute("d"));
  const cells = [...document.getElementById("t" + trial).cells].map(cell => (cell.querySelector("summary") || cell).textContent);
  const [title, ...lines] = cells.map((text, at) => text && `${heads[at].textContent}${at ? ": " : " "}${text}`);
  tip.replaceChildren(...[title, ...lines].filter(Boolean).map((text, at) => {
    return Object.assign(document.createElement(at ? "div" : "b"), {textContent: text});
  }));
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + "px";
  tip.style.top = Math.max(4, y + 14 + box.height > innerHeight ? y - box.height - 14 : y + 14) + "px";
}

function goTo(trial) {
  document.querySelectorAll("tr.here").forEach(row => row.classList.remove("here"));
  document.getElementById("t" + trial).classList.add("here");
  document.getElementById("t" + trial).scrollIntoView({block: "center"});
}

function distance(corners, x, y, box) {  // in pixels, of a dot or of a line at this height
  const [px, py] = [box.width / 1000, box.height / 1000];
  if (corners.length === 1) return Math.hypot((corners[0][0] - x) * px, (corners[0][1] - y) * py);
  const right = Math.max(1, corners.findIndex(corner => corner[0] >= x));
  const [[x0, y0], [x1, y1]] = [corners[right - 1], corners[right]];
  return Math.abs(y0 + (y1 - y0) * Math.min(1, Math.max(0, (x - x0) / (x1 - x0))) - y) * py;
}

document.querySelectorAll(".plot > svg").forEach(svg => {
  const own = [...svg.querySelectorAll("[data-t]")];
  let at = -1;
  const nearest = event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * 1000, y = (event.clientY - box.top) / box.height * 1000;
    const far = own.filter(mark => !mark.classList.contains("dim")).map(mark => [distance(mark.corners, x, y, box), mark]);
    const found = far.reduce((one, other) => other[0] <= one[0] ? other : one, [24, null])[1];
    return found ? found.dataset.t : undefined;
  };
  svg.addEventListener("pointermove", event => look(nearest(event), event.clientX, event.clientY));
  svg.addEventListener("pointerleave", () => look());
  svg.addEventListener("blur", () => look());
  svg.addEventListener("click", event => nearest(event) && !event.target.dataset.axis && goTo(nearest(event)));
  svg.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    const open = own.filter(mark => !mark.classList.contains("dim")).sort((a, b) => a.dataset.t - b.dataset.t);
    if (event.key === "Escape") look();
    if (event.key === "Enter" && open[at]) goTo(open[at].dataset.t);
    if (!step || !open.length) return;
    event.preventDefault();
    at = (at + step + open.length) % open.length;
    const box = svg.getBoundingClientRect(), [x, y] = open[at].corners.at(-1);
    look(open[at].dataset.t, box.left + x / 1000 * box.width, box.top + y / 1000 * box.height);
  });
});

const chosen = new Map();  // by axis, the part of it that a trial's line has to cross
document.querySelectorAll(".brush").forEach(brush => {
  const box = () => brush.ownerSVGElement.getBoundingClientRect();
  const height = event => (event.clientY - box().top) / box().height * 1000;
  let from = null;
  brush.addEventListener("pointerdown", event => { from = height(event); brush.setPointerCapture(event.pointerId); });
  brush.addEventListener("pointermove", event => from !== null && choose(brush, from, height(event)));
  brush.addEventListener("pointerup", event => { choose(brush, from, height(event)); from = null; });
});

function choose(brush, from, to) {
  const axis = Number(brush.dataset.axis), [top, end] = [Math.min(from, to), Math.max(from, to)];
  const on = end - top > 10;
  brush.classList.toggle("on", on);
  brush.style.y = on ? top + "px" : "0px";
  brush.style.height = on ? end - top + "px" : "1000px";
  on ? chosen.set(axis, [top, end]) : chosen.delete(axis);
  const lines = [...document.querySelectorAll(".parallel [data-t]")];
  const inside = lines.filter(line => [...chosen].every(([at, [low, high]]) => line.corners[at][1] >= low && line.corners[at][1] <= high));
  const kept = new Set(inside.map(line => line.dataset.t));
  marks.forEach((own, trial) => own.forEach(mark => mark.classList.toggle("dim", chosen.size > 0 && !kept.has(trial))));
  for (const row of table.tBodies[0].rows) row.hidden = chosen.size > 0 && !kept.has(row.id.slice(1));
  document.getElementById("chosen").textContent = chosen.size ? `${kept.size} of ${lines.length} chosen` : "";
}

heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
  heads.forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b) * (down ? -1 : 1);
  const text = row => row.cells[at].textContent;
  body.append(...[...body.rows].sort((a, b) => !text(a) - !text(b) || order(text(a), text(b))));
}));
