// Language and look, as a person chooses them.

const language = document.getElementById("language");
language?.addEventListener("change", () => {
  document.cookie = `bwvd-language=${language.value}; path=/; max-age=31536000; samesite=strict`;
  location.reload();
});

const theme = document.getElementById("theme");
if (theme) {
  theme.value = document.documentElement.dataset.theme ?? "";
  theme.addEventListener("change", () => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("bwvd-theme", theme.value);
    } catch {
      // It holds for this page alone.
    }
  });
}
