// Drawing of where a recording was: it follows the play position, and a click on it goes to when the camera was there.

import { elapsed, lastAt } from "./time.js";
import { made, words } from "./words.js";

const told = words("recording");
const SVG = "http://www.w3.org/2000/svg";

export class TrackDrawing extends EventTarget {
  /** found: the desk's answer. Tells `seek` with microseconds since the first frame. */
  constructor(section, found) {
    super();
    this.found = found;
    this.points = found.runs.flat().sort((a, b) => a[0] - b[0]);
    this.now = section.querySelector(".where-now");
    section.hidden = !found.drawing && !found.sealed;
    section.querySelector(".where-sealed").hidden = !found.sealed;
    section.querySelector(".where-sealed").textContent = found.sealed ? told("where_sealed", { count: found.sealed }) : "";
    this.now.hidden = section.querySelector(".where-hint").hidden = !found.drawing;
    if (!found.drawing) return;
    const parsed = new DOMParser().parseFromString(found.drawing, "image/svg+xml");
    this.svg = document.importNode(parsed.documentElement, true);
    this.spot = document.createElementNS(SVG, "circle");
    this.spot.setAttribute("class", "track-now");
    this.spot.setAttribute("r", "8");
    this.svg.append(this.spot);
    section.querySelector(".where-drawing").replaceChildren(this.svg);
    this.svg.addEventListener("click", (event) => this.clicked(event));
    section.querySelector(".where-marks").replaceChildren(...found.marks.map((mark) => this.mark(mark)));
  }

  /** The three places in figures, and by the keyboard. */
  mark([name, us, , , place, utc]) {
    const item = made("li");
    const button = made("button", elapsed(us), { type: "button", class: "moment" });
    button.addEventListener("click", () => this.go(us));
    item.append(made("b", told(`where_${name}`)), " ", button, " ", made("span", place, { class: "figures" }), " ", made("small", utc));
    return item;
  }

  clicked(event) {
    const corner = this.svg.getScreenCTM().inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(corner);
    const far = (point) => Math.hypot(point[1] - x, point[2] - y);
    this.go(this.points.reduce((best, point) => (far(point) < far(best) ? point : best))[0]);
  }

  go(us) {
    this.dispatchEvent(new CustomEvent("seek", { detail: us }));
  }

  /** Show the place that counts at a moment: none where it was lost, or not known yet. */
  at(us) {
    if (!this.svg) return;
    const point = this.points[lastAt(this.points, us, (one) => one[0])];
    const lost = this.found.losses[lastAt(this.found.losses, us)];
    const known = point && !(lost > point[0]);
    this.spot.toggleAttribute("hidden", !known);
    if (known) {
      this.spot.setAttribute("cx", point[1]);
      this.spot.setAttribute("cy", point[2]);
    }
    const text = known ? point[3] : told("where_unknown");
    if (this.now.textContent !== text) this.now.textContent = text;
  }
}
