// How far each job is: the table as it was loaded, until one that was under way is over.

const PERIOD_MS = 500;

const table = document.querySelector("table.jobs[data-pending]");

async function watch() {
  for (;;) {
    const answer = await fetch("/out/jobs.json");
    if (!answer.ok) return;
    const { jobs } = await answer.json();
    for (const job of jobs) {
      const row = table.querySelector(`tr[data-job="${CSS.escape(job.id)}"]`);
      if (!row) continue;
      row.querySelector("progress").value = job.percent;
      if (row.querySelector(".state").dataset.state !== job.state) return location.reload();
    }
    await new Promise((again) => setTimeout(again, PERIOD_MS));
  }
}

if (table) watch();
