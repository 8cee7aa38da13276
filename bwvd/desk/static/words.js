// Texts of the page, as the desk has put them into it.

const KNOWN = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

/** The words of one section: `words("player")("play")`. What is put in is text. `otherwise`: for what has no words. */
export function words(section) {
  return (name, parts = {}, otherwise = name) => {
    const text = KNOWN[`${section}.${name}`] ?? otherwise;
    return text.replace(/\{(\w+)\}/g, (whole, key) => (key in parts ? String(parts[key]) : whole));
  };
}

/** An element with this text and these attributes. */
export function made(name, text = "", attributes = {}) {
  const element = document.createElement(name);
  if (text !== "") element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Plain text from the desk as JSON. Throws where there is no such answer. */
export async function asked(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}
