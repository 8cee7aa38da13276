// What is handed out of a recording: asked for, watched, cancelled and fetched without leaving its page.

import { asked, made, words } from "./words.js";

const t = words("out");
const PERIOD_MS = 400;
const OVER = ["done", "failed", "cancelled"];

export class HandOut {
  /** form: each of its buttons names an address in `formaction`. list: where what was asked for is shown. */
  constructor(form, list) {
    this.form = form;
    this.list = list;
    form.addEventListener("submit", (event) => {
      if (!event.submitter?.formAction) return;
      event.preventDefault();
      this.order(event.submitter);
    });
  }

  async order(button) {
    const item = made("li");
    this.list.prepend(item);
    const body = new URLSearchParams(new FormData(this.form));
    let job;
    try {
      const answer = await fetch(button.formAction, { method: "POST", body, headers: { accept: "application/json" } });
      job = await answer.json();
    } catch {
      job = { problem: t("is_failed") };
    }
    const name = made("b", button.textContent);
    if (!job.state) {
      item.append(name, " ", made("span", job.problem ?? t("is_failed"), { class: "problem", lang: "en" }));
      return;
    }
    const progress = made("progress", "", { max: 100, value: 0, "aria-label": `${t("progress")}: ${button.textContent}` });
    const state = made("span", "", { class: "state" });
    const cancel = made("button", t("cancel"), { type: "button" });
    cancel.append(made("span", ` ${button.textContent}`, { class: "visually-hidden" }));
    cancel.addEventListener("click", () => fetch(job.cancel, { method: "POST", headers: { accept: "application/json" } }));
    const files = made("span", "", { class: "files" });
    item.append(name, " ", state, " ", progress, " ", cancel, files);
    for (;;) {
      progress.value = job.percent;
      state.textContent = t(`is_${job.state}`);
      item.dataset.state = job.state;
      if (OVER.includes(job.state)) break;
      await new Promise((done) => setTimeout(done, PERIOD_MS));
      try {
        job = await asked(job.address);
      } catch {
        job = { ...job, state: "failed", problem: "" };
      }
    }
    progress.hidden = cancel.hidden = true;
    if (job.problem) item.append(" ", made("span", job.problem, { class: "problem", lang: "en" }));
    for (const file of job.files ?? []) files.append(" ", made("a", file.name, { href: file.address, title: file.path, download: file.name }));
  }
}
