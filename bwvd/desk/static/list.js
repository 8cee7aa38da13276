// Verdicts, officers and markers of the rows on the screen, put in as they are found.

const PERIOD_MS = 1000;

const table = document.querySelector("table.recordings[data-pending]");

async function ask() {
  const rows = new Map([...table.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));
  const keys = new URLSearchParams([...rows.keys()].map((key) => ["k", key]));
  const answer = await fetch(`/verdicts?${keys}`, { headers: { accept: "application/json" } });
  if (!answer.ok) return false;
  const told = await answer.json();
  for (const [key, cells] of Object.entries(told.rows)) {
    const row = rows.get(key);
    if (!row) continue;
    for (const cell of row.querySelectorAll("[data-cell]")) {
      const text = cells[cell.dataset.cell];
      if (text !== undefined && text !== cell.textContent) cell.textContent = text;
    }
    const verdict = row.querySelector(".verdict");
    if (cells.verdict !== undefined) {
      verdict.dataset.verdict = cells.verdict;
      verdict.title = cells.why;
    }
  }
  const place = document.getElementById("list-problems");
  const known = new Set([...place.children].map((line) => line.textContent));
  for (const text of told.problems.filter((line) => !known.has(line))) {
    place.append(Object.assign(document.createElement("p"), { className: "problem", textContent: text }));
  }
  return told.pending;
}

async function watch() {
  while (await ask()) await new Promise((again) => setTimeout(again, PERIOD_MS));
  table.removeAttribute("data-pending");
}

if (table) watch();
