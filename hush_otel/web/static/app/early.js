// The theme that was chosen here, before the first paint. Without a choice the system's holds.
try {
  const theme = localStorage.getItem("hush-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is denied: the system's theme it is.
}
