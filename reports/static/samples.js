// The list of a task's samples: search, filters, order; opened samples; the address that leads back to one.

const lists = new Map();
const FEW_GROUPS = 60;

// The address bar names the open sample and the filters, so that they can be shared; no step in the history.
function address(link) {
  try { history.replaceState(null, '', link); } catch { /* a page inside another page */ }
}

const oneLine = (text) => (text || '').slice(0, 240).replace(/\s+/g, ' ');

const ORDERS = [['worst', 'Worst first'], ['best', 'Best first'], ['id', 'By id'], ['slow', 'Slowest first']];

class SampleList {
  constructor(root, data) {
    Object.assign(this, { root, data, route: root.dataset.route, key: root.dataset.block, whole: root.dataset.whole === '1' });
    Object.assign(this, { bin: null, pick: null, group: '', versus: '', words: '', order: 'worst', open: new Map(), last: null, rivals: [] });
    this.bars = [...document.querySelectorAll(`.anatomy[data-for="${CSS.escape(this.key)}"] .bin`)];
    this.picks = [...document.querySelectorAll(`.errors[data-for="${CSS.escape(this.key)}"] .pick`)];
    this.texts = new Map();
    this.build();
  }

  build() {
    this.search = el('input', { type: 'search', placeholder: 'Search questions and answers', 'aria-label': 'Search samples' });
    let timer = 0;
    this.search.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => { this.words = this.search.value.trim().toLowerCase(); this.refresh(); }, 120);
    });
    this.outcome = el('select', { 'aria-label': 'Outcome' }, el('option', { value: '' }, 'All outcomes'), this.outcomes());
    this.kind = el('select', { 'aria-label': 'Kind' }, el('option', { value: '' }, 'All kinds'), this.kinds());
    this.member = el('select', { 'aria-label': 'Group' }, el('option', { value: '' }, 'All groups'), this.groups());
    this.rival = el('select', { 'aria-label': 'Disagreement between runs' }, el('option', { value: '' }, 'Any agreement'));
    this.sort = el('select', { 'aria-label': 'Order' }, this.orders().map(([v, t]) => el('option', { value: v }, t)));
    const changes = [[this.outcome, (v) => { this.bin = v === '' ? null : v; }], [this.kind, (v) => { this.pick = v === '' ? null : Number(v); }],
      [this.member, (v) => { this.group = v; }], [this.rival, (v) => { this.versus = v; }], [this.sort, (v) => { this.order = v; }]];
    for (const [select, set] of changes) select.addEventListener('change', () => { set(select.value); this.refresh(); });
    this.clear = el('button', { class: 'plainbutton clear', type: 'button', hidden: true }, 'Clear filters');
    this.clear.addEventListener('click', () => { this.filters(new URLSearchParams()); this.refresh(); this.search.focus(); });
    this.count = el('span', { class: 'count', role: 'status' });
    this.items = el('ol', { class: 'list', role: 'list', 'aria-label': 'Samples' });
    this.note = el('div', {});
    const shown = [this.search, this.outcome, ...[this.kind, this.member].filter((s) => s.options.length > 1)];
    this.bar = el('div', { class: 'toolbar', role: 'search' }, shown, this.data.others ? this.rival : null, this.sort, this.clear, this.count);
    this.root.replaceChildren(this.bar, this.note, this.items);
    this.rows = new VirtualList(this.items, (k) => this.row(k), (k) => this.found[k].i);
    this.rows.bar = this.bar;
    this.bars.forEach((bar, i) => bar.addEventListener('click', () => { this.bin = this.bin === String(i) ? null : String(i); this.refresh(); }));
    this.picks.forEach((button) => button.addEventListener('click', () => {
      const pick = Number(button.dataset.pick);
      this.pick = this.pick === pick ? null : pick;
      this.refresh();
    }));
  }

  orders() {
    return this.data.samples.some((s) => s.w !== undefined) ? ORDERS : ORDERS.slice(0, 3);
  }

  // Single bars, and what is more than one of them.
  outcomes() {
    const bins = this.data.bins;
    const sum = (test) => bins.filter(test).reduce((n, b) => n + b.n, 0);
    const failed = (tone) => (b) => b.tone === tone;
    const sets = [['scored', 'all scored', (b) => !['unscored', 'error'].includes(b.tone)], ['unscored', 'all unscored', failed('unscored')], ['error', 'all errored', failed('error')]];
    const many = sets.filter(([, , test]) => { const n = bins.filter((b) => b.n && test(b)).length; return n > 0 && sum(test) < this.data.samples.length; });
    return [bins.map((b, i) => el('option', { value: i }, `${b.label} (${b.n.toLocaleString('en')})`)),
      many.map(([key, label, test]) => el('option', { value: key }, `${label} (${sum(test).toLocaleString('en')})`))];
  }

  // What went wrong, and what a defect decided: sets of samples beside the outcomes.
  kinds() {
    const out = new Map();
    this.data.picks.forEach((p, i) => {
      if (!out.has(p.group)) out.set(p.group, el('optgroup', { label: p.group }));
      out.get(p.group).append(el('option', { value: i }, `${p.label} (${p.n.toLocaleString('en')})`));
    });
    return [...out.values()];
  }

  groups() {
    const keys = new Map();
    for (const s of this.data.samples) {
      for (const [key, value] of Object.entries(s.g || {})) {
        const members = keys.get(key) || keys.set(key, new Map()).get(key);
        members.set(textOf(value), (members.get(textOf(value)) || 0) + 1);
      }
    }
    return [...keys].filter(([, members]) => members.size > 1 && members.size <= FEW_GROUPS).map(([key, members]) => el('optgroup', { label: key },
      [...members].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([name, n]) => el('option', { value: `${key}\n${name}` }, `${name} (${n.toLocaleString('en')})`))));
  }

  // The other runs are opened after the first rows are there.
  async compare() {
    for (const run of this.data.others || []) {
      const there = await unpack(run.block);
      if (!there) continue;
      const rival = new Versus(this.data, run, there);
      const at = this.rivals.push(rival) - 1;
      const found = rival.options(this.data.run, at);
      if (found.length) this.rival.append(...(this.data.others.length > 1 ? [el('optgroup', { label: run.label }, found)] : found));
    }
    if (this.data.others && this.rival.options.length === 1) this.rival.options[0].textContent = 'The runs agree everywhere';
    if (this.versus) this.refresh();
  }

  // Filters from an address, and to one.
  filters(query) {
    const bin = query.get('outcome');
    this.bin = bin !== null && [...this.outcome.options].some((o) => o.value === bin) && bin ? bin : null;
    this.pick = query.get('kind') === null ? null : Number(query.get('kind'));
    this.group = query.get('group') || '';
    this.versus = query.get('versus') || '';
    this.words = (query.get('q') || '').toLowerCase();
    this.search.value = query.get('q') || '';
    this.order = ORDERS.some(([v]) => v === query.get('order')) ? query.get('order') : 'worst';
  }

  query() {
    const out = new URLSearchParams();
    if (this.bin !== null) out.set('outcome', this.bin);
    if (this.pick !== null) out.set('kind', this.pick);
    if (this.group) out.set('group', this.group);
    if (this.versus) out.set('versus', this.versus);
    if (this.words) out.set('q', this.search.value.trim());
    if (this.order !== 'worst') out.set('order', this.order);
    const text = out.toString();
    return text ? `?${text}` : '';
  }

  link(s) {
    return `${routeLink(this.route)}/~/${encodeURIComponent(s.i)}`;
  }

  tell() {
    address((this.last ? this.link(this.last) : routeLink(this.route)) + this.query());
  }

  // What is searched: all words that the list shows, and more of them.
  text(s) {
    let text = this.texts.get(s);
    if (text === undefined) {
      const calls = (callsOf(s) || []).map(callLine);
      text = [s.i, s.q, s.a, s.h, s.t, s.e && `${s.e.kind}: ${s.e.message}`, ...calls].filter(Boolean).join('\n').toLowerCase();
      this.texts.set(s, text);
    }
    return text;
  }

  matches(s) {
    if (this.bin !== null) {
      const tone = this.data.bins[s.b].tone;
      if (/^\d+$/.test(this.bin) ? s.b !== Number(this.bin) : this.bin === 'scored' ? ['unscored', 'error'].includes(tone) : tone !== this.bin) return false;
    }
    if (this.pick !== null && !(s.k || []).includes(this.pick)) return false;
    if (this.chosen && !this.chosen.has(s)) return false;
    if (this.group) {
      const [key, name] = this.group.split('\n');
      if (!s.g || !(key in s.g) || textOf(s.g[key]) !== name) return false;
    }
    return !this.words || this.text(s).includes(this.words);
  }

  // An opened sample stays, whatever is filtered: it is the one being read.
  refresh() {
    const [at, way] = this.versus.split(':');
    this.chosen = this.versus && this.rivals[at] ? this.rivals[at].sets.get(way) : null;
    const all = this.data.samples;
    let kept = 0;
    this.found = all.filter((s) => {
      if (this.matches(s)) { kept += 1; return true; }
      return this.last === s;
    });
    if (this.order === 'best') this.found.reverse();
    if (this.order === 'id') this.found.sort((a, b) => (a.i < b.i ? -1 : a.i > b.i ? 1 : 0));
    if (this.order === 'slow') this.found.sort((a, b) => (b.w ?? -1) - (a.w ?? -1));
    const filtered = this.query().replace(/[?&]order=\w+/, '') !== '';
    this.clear.hidden = !filtered;
    this.outcome.value = this.bin ?? '';
    this.kind.value = this.pick ?? '';
    this.member.value = this.group;
    this.rival.value = this.chosen ? this.versus : '';
    this.sort.value = this.order;
    this.picks.forEach((button) => button.setAttribute('aria-pressed', String(Number(button.dataset.pick) === this.pick)));
    this.bars.forEach((bar, i) => bar.setAttribute('aria-pressed', String(String(i) === this.bin)));
    this.count.textContent = `${kept.toLocaleString('en')} of ${all.length.toLocaleString('en')}`;
    this.rows.reset(this.found.length);
    if (!this.found.length) this.items.replaceChildren(el('li', { class: 'empty' }, all.length ? 'No sample matches.' : 'No sample on record yet.'));
    else this.items.querySelector(':scope > .empty')?.remove();
    this.items.style.setProperty('--under', `${this.bar.offsetHeight}px`); // what the keyboard reaches isn't left under it
    this.tell();
  }

  // The answer in short: the calls it makes, else its words.
  said(s) {
    if (s.e) return oneLine(s.e.message);
    const calls = callsOf(s);
    return oneLine(calls && calls.length ? calls.map(callLine).join('; ') : s.a);
  }

  verdict(s) {
    if (s.f !== undefined) return s.f; // a comparison: of both runs
    const rival = this.chosen && this.rivals[Number(this.versus.split(':')[0])];
    const other = rival && rival.byId.get(s.i);
    const mine = verdictOf(this.data, s);
    return other ? `${mine} / ${verdictOf(rival.data, other)}` : mine;
  }

  row(k) {
    const s = this.found[k];
    const held = this.open.get(s.i);
    if (held) return held;
    const head = el('button', { class: 'item-head', type: 'button', 'aria-expanded': 'false' },
      el('span', { class: 'pip', 'aria-hidden': 'true' }), el('span', { class: 'id mono' }, s.i),
      el('span', { class: 'ask' }, oneLine(s.q || s.t) || s.i), el('span', { class: 'say' }, this.said(s)),
      el('span', { class: 'val' }, this.verdict(s)));
    const node = el('li', { class: `item tone-${this.data.bins[s.b].tone}` }, head);
    head.addEventListener('click', (event) => this.toggle(node, s, event.detail === 0));
    return node;
  }

  // Opened by a key, the sample comes to the top where it would not be seen whole.
  async toggle(node, s, byKey = false) {
    if (this.open.has(s.i)) {
      for (const audio of node.querySelectorAll('audio')) audio.pause();
      this.open.delete(s.i);
      node.firstChild.setAttribute('aria-expanded', 'false');
      while (node.childNodes.length > 1) node.lastChild.remove();
      delete node.dataset.open;
      this.rows.drop(s.i, node);
      if (this.last === s) this.last = [...this.open.keys()].map((i) => this.data.samples.find((x) => x.i === i)).pop() || null;
      this.tell();
      return;
    }
    this.open.set(s.i, node);
    this.last = s;
    node.firstChild.setAttribute('aria-expanded', 'true');
    this.tell();
    const sides = await this.sides(s);
    if (this.open.get(s.i) !== node || node.childNodes.length > 1) return;
    node.append(sampleBody(sides[0].sample, this.data, this.link(s), sides));
    reachable(node);
    this.rows.keep(s.i, node);
    if (byKey && node.getBoundingClientRect().bottom > window.innerHeight) this.rows.reach(this.placeOf(node), true);
  }

  // The sample with all its fields, and the same one of the other runs.
  async sides(s) {
    await this.ready;
    const mine = { label: this.data.run, data: this.data, sample: await wholeSample(this.key, this.data, s) };
    const others = await Promise.all(this.rivals.map(async (rival) => {
      const found = rival.byId.get(s.i);
      return { label: rival.run.label, data: rival.data, sample: found ? await wholeSample(rival.run.block, rival.data, found) : null };
    }));
    return [mine, ...others];
  }

  // Open the sample of an address, whatever filters say.
  async reveal(id) {
    this.note.replaceChildren();
    const s = this.data.samples.find((x) => x.i === id);
    if (!s) {
      const text = `Sample ${id} is not in this page${this.whole ? '' : '; the CSV of evalkit report has all of them'}.`;
      this.note.append(el('p', { class: 'err', role: 'status' }, text));
      return;
    }
    this.last = s;
    this.refresh();
    const k = this.found.indexOf(s);
    this.cursor = k;
    const node = this.rows.reach(k, true);
    if (!this.open.has(s.i)) await this.toggle(node, s);
    node.firstChild.focus({ preventScroll: true });
    this.rows.reach(k, true);
  }

  placeOf(node) {
    const item = node && node.closest ? node.closest('.item') : null;
    const found = item && [...this.rows.nodes].find(([, each]) => each === item);
    return found ? found[0] : -1;
  }

  step(by) {
    if (!this.found || !this.found.length) return false;
    const at = this.placeOf(document.activeElement);
    const from = at >= 0 ? at : this.cursor ?? -1;
    this.cursor = Math.min(this.found.length - 1, Math.max(0, from + by));
    const node = this.rows.reach(this.cursor);
    if (node) node.firstChild.focus({ preventScroll: true });
    return true;
  }

  focusRow() {
    const k = Math.max(0, Math.min(this.cursor ?? 0, this.found.length - 1));
    const node = this.found.length ? this.rows.reach(k) : null;
    if (node) node.firstChild.focus({ preventScroll: true });
    else this.search.blur();
  }

  closeAt(at) {
    const item = at && at.closest ? at.closest('.item') : null;
    if (!item || !this.items.contains(item) || item.dataset.open === undefined) return;
    item.firstChild.focus({ preventScroll: true });
    item.firstChild.click();
  }

  // Space: the sample's audio, the spoken answer's where both are there; a sample without any is opened or closed.
  async playNow(k) {
    const s = this.found[k];
    const node = this.rows.nodes.get(k);
    const opened = this.open.has(s.i);
    if (!opened) await this.toggle(node, s);
    const sounds = [...node.querySelectorAll('audio')];
    const audio = sounds.find((a) => a === playing) || sounds[0];
    if (!audio) { if (opened) this.toggle(node, s); return; }
    if (audio.paused) audio.play().catch(() => {});
    else audio.pause();
  }

  playAt(at) {
    const k = this.placeOf(at);
    if (k < 0) return false;
    this.playNow(k);
    return true;
  }
}

// A sample with what a long task keeps in blocks of their own.
async function wholeSample(key, data, s) {
  if (!data.chunk) return s;
  const at = data.samples.indexOf(s);
  const rest = await unpack(`${key}-${Math.floor(at / data.chunk)}`);
  return rest ? { ...s, ...rest[at % data.chunk] } : s;
}

async function openSamples(root, sample, query) {
  let list = lists.get(root);
  if (list === null) return; // under way: it will look at the address when it is there
  if (!list) {
    lists.set(root, null);
    root.setAttribute('aria-busy', 'true');
    try {
      const id = root.dataset.block;
      list = new SampleList(root, isPacked(id) ? await unpack(id) : block(id));
    } catch (error) {
      root.replaceChildren(el('p', { class: 'err', role: 'status' }, String(error.message || error)));
      lists.delete(root);
      return;
    } finally {
      root.removeAttribute('aria-busy');
    }
    lists.set(root, list);
    const now = route();
    const mine = sample !== null && now.path === list.route ? now.sample : sample;
    list.filters(query);
    list.refresh();
    list.ready = list.compare();
    if (mine !== null) await list.reveal(mine);
    return;
  }
  if ([...query].length) {
    list.filters(query);
    list.refresh();
  }
  if (sample !== null) await list.reveal(sample);
  else list.rows.draw();
}
