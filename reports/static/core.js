// Helpers and the router. Data only ever becomes text nodes: nothing here parses markup.

const byId = (id) => document.getElementById(id);

// An element with attributes and children; strings become text.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

const parsed = new Map();
function block(id) {
  if (!parsed.has(id)) {
    const node = byId(id);
    parsed.set(id, node ? JSON.parse(node.textContent) : null);
  }
  return parsed.get(id);
}

function say(text) {
  byId('said').textContent = text;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el('textarea', { class: 'sr' });
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
  }
  const before = button.textContent;
  button.textContent = 'Copied';
  say('Copied');
  setTimeout(() => { button.textContent = before; }, 1400);
}

// "#/r1/voicebench/sd-qa/~/q-17" is the sample q-17 of a task; "#/tables/voicebench" is a place in a view.
function route() {
  let path = location.hash.replace(/^#\/?/, '');
  let sample = null;
  const cut = path.indexOf('/~/');
  if (cut >= 0) {
    try { sample = decodeURIComponent(path.slice(cut + 3)); } catch { sample = null; }
    path = path.slice(0, cut);
  }
  try { path = decodeURI(path); } catch { /* not ours; shows the overview */ }
  return { path, sample };
}

function show(first) {
  if (location.hash && !location.hash.startsWith('#/')) return;
  const { path, sample } = route();
  const views = [...document.querySelectorAll('.view')];
  const inTables = path.startsWith('tables');
  const view = views.find((v) => v.dataset.route === (inTables ? 'tables' : path)) || views[0];
  for (const v of views) v.classList.toggle('on', v === view);
  document.title = `${view.dataset.title} · evalkit report`;
  for (const link of document.querySelectorAll('[data-nav]')) {
    const here = link.dataset.nav === (inTables ? 'tables' : path === '' ? 'overview' : path);
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const jump = byId('jump');
  jump.value = [...jump.options].some((o) => o.value === path) ? path : '';
  closeCard();
  stopSound();
  const list = view.querySelector('.samples');
  if (list) openSamples(list, sample);
  const place = inTables && path.length > 7 ? byId(`t-${path.slice(7)}`) : null;
  if (place) place.scrollIntoView();
  else if (!sample && !first) window.scrollTo({ top: 0, behavior: 'instant' });
  if (!first && !sample) view.querySelector('h1').focus({ preventScroll: true });
}

function start() {
  document.documentElement.classList.add('js');
  startTables();
  startGrids();
  byId('jump').addEventListener('change', (event) => {
    if (event.target.value) location.hash = `#/${event.target.value}`;
  });
  window.addEventListener('hashchange', () => show(false));
  show(true);
}
