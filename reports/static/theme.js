// Light, dark, or as the system has it; what was chosen is kept where the browser allows it.

const THEMES = ['system', 'light', 'dark'];

function kept(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch { /* a page from disk, or one that may keep nothing */ }
  return null;
}

function useTheme(name) {
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const button = byId('theme');
  button.textContent = { system: 'Auto', light: 'Light', dark: 'Dark' }[name];
  button.setAttribute('aria-label', `${button.textContent} colours${name === 'system' ? ', as the system has them' : ''}; change`);
  button.title = 'Light, dark, or as the system has it';
}

function startTheme() {
  const found = kept('evalkit-theme');
  let now = THEMES.includes(found) ? found : 'system';
  useTheme(now);
  const button = byId('theme');
  button.hidden = false;
  button.addEventListener('click', () => {
    now = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    useTheme(now);
    kept('evalkit-theme', now);
    say(`Colours: ${now}`);
  });
}
