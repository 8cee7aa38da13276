// The look that a person has chosen, before anything is drawn.
{
  const chosen = (() => {
    try {
      return localStorage.getItem("bwvd-theme") ?? "";
    } catch {
      return ""; // a browser that keeps nothing
    }
  })();
  if (chosen) document.documentElement.dataset.theme = chosen;
}
