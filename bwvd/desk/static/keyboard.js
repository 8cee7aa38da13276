// Keys of the player. They can be switched off, for those to whom single letters are in the way.

const KEYS = {
  " ": "toggle",
  k: "toggle",
  j: "back",
  l: "faster",
  ArrowLeft: "frame-back",
  ArrowRight: "frame",
  "Shift+ArrowLeft": "second-back",
  "Shift+ArrowRight": "second",
  ArrowUp: "before",
  ArrowDown: "behind",
  Home: "first",
  End: "last",
  i: "in",
  o: "out",
  "+": "closer",
  "-": "farther",
  m: "mute",
  "?": "keys",
};
const WRITES = "input, select, textarea, [contenteditable]";
const PRESSES = "button, a, summary"; // take the space bar themselves
const SCROLLS = ".scroll"; // takes the arrows itself
const KEPT = "bwvd-keys";

export class Keyboard {
  /** acts: what is done, by name. toggle: the box that switches the letters on and off. */
  constructor(acts, toggle) {
    this.acts = acts;
    this.toggle = toggle;
    try {
      toggle.checked = localStorage.getItem(KEPT) !== "off";
      toggle.addEventListener("change", () => localStorage.setItem(KEPT, toggle.checked ? "on" : "off"));
    } catch {
      // It holds for this page alone.
    }
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const slider = event.target.closest?.(".slider");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = KEYS[event.shiftKey && key.startsWith("Arrow") ? `Shift+${key}` : key];
    if (!act || event.target.closest?.(WRITES)) return;
    if (!slider && !this.toggle.checked) return;
    if (event.target.closest?.(PRESSES) && (key === " " || key === "Enter")) return;
    if (event.target.closest?.(SCROLLS) && /^(Arrow(Up|Down)|Home|End)$/.test(key)) return;
    event.preventDefault();
    this.acts[act]?.();
  }
}
