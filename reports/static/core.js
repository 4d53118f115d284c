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

// A block that stands in the page as plain JSON.
function block(id) {
  if (!parsed.has(id)) {
    const node = byId(id);
    parsed.set(id, node ? JSON.parse(node.textContent) : null);
  }
  return parsed.get(id);
}

function bytesOf(base64) {
  const raw = atob(base64);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// Any block, compressed or not: a promise. It is opened once, when it is first asked for.
const unpacked = new Map();
const isPacked = (id) => Boolean(byId(id) && byId(id).dataset.gzip !== undefined);

function unpack(id) {
  const node = byId(id);
  if (!isPacked(id)) return Promise.resolve(block(id));
  if (!unpacked.has(id)) {
    const opened = async () => {
      if (!window.DecompressionStream) throw new Error('This browser cannot open compressed data; one of 2023 or later can.');
      const stream = new Blob([bytesOf(node.textContent)]).stream().pipeThrough(new DecompressionStream('gzip'));
      return new Response(stream).json();
    };
    unpacked.set(id, opened());
  }
  return unpacked.get(id);
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

// "#/r1/voicebench/sd-qa/~/q-17" is the sample q-17 of a task, "?..." behind it filters its list;
// "#/tables/voicebench" is a place in a view.
function route() {
  const whole = location.hash.replace(/^#\/?/, '');
  const mark = whole.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : whole.slice(mark + 1));
  let path = mark < 0 ? whole : whole.slice(0, mark);
  let sample = null;
  const cut = path.indexOf('/~/');
  if (cut >= 0) {
    try { sample = decodeURIComponent(path.slice(cut + 3)); } catch { sample = null; }
    path = path.slice(0, cut);
  }
  try { path = decodeURIComponent(path); } catch { /* not ours; shows the overview */ }
  return { path: path.replace(/\/$/, ''), sample, query };
}

const routeLink = (path) => `#/${path.split('/').map(encodeURIComponent).join('/')}`;

// The view of a path, and what of the path is left: a place in it.
function viewOf(path) {
  const views = [...document.querySelectorAll('.view')];
  const whole = views.find((v) => v.dataset.route === path);
  if (whole) return [whole, ''];
  const part = views.find((v) => v.dataset.route && path.startsWith(`${v.dataset.route}/`));
  return part ? [part, path.slice(part.dataset.route.length + 1)] : [views[0], ''];
}

// What scrolls inside the page is reached by Tab, also in browsers that don't see to that themselves.
function reachable(root) {
  for (const box of root.querySelectorAll('.scroll:not([tabindex]), .words:not([tabindex])')) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (!scrolls || getComputedStyle(box).overflowY !== 'auto') continue;
    for (const [name, value] of [['tabindex', 0], ['role', 'group'], ['aria-label', box.matches('.words') ? 'Long text' : 'Wide table']]) box.setAttribute(name, value);
  }
}

let current = null;

function show(first) {
  if (location.hash && !location.hash.startsWith('#/')) return;
  const { path, sample, query } = route();
  const [view, rest] = viewOf(path);
  const moved = view !== current;
  current = view;
  for (const v of document.querySelectorAll('.view')) v.classList.toggle('on', v === view);
  document.title = `${view.dataset.title} · evalkit report`;
  for (const link of document.querySelectorAll('[data-nav]')) {
    if (link.dataset.nav === view.dataset.route) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const jump = byId('jump');
  if (jump) jump.value = [...jump.options].some((o) => o.value === path) ? path : '';
  closeCard();
  if (moved) stopSound();
  view.querySelectorAll('.samples').forEach((list, i) => openSamples(list, i ? null : sample, i ? new URLSearchParams() : query));
  reachable(view);
  const place = rest ? byId(`t-${rest}`) : null;
  if (place) place.scrollIntoView();
  else if (!sample && !first && moved) window.scrollTo({ top: 0, behavior: 'instant' });
  if (!first && !sample && moved) view.querySelector('h1').focus({ preventScroll: true });
}

// What scripts of other pages want done at the start.
const starters = [];

function start() {
  document.documentElement.classList.add('js');
  startTheme();
  startTables();
  startGrids();
  startKeys();
  starters.forEach((begin) => begin());
  const jump = byId('jump');
  if (jump) jump.addEventListener('change', () => { if (jump.value) location.hash = routeLink(jump.value); });
  window.addEventListener('hashchange', () => show(false));
  window.addEventListener('resize', () => reachable(current));
  show(true);
}
