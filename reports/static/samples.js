// The list of a task's samples: search, filter by outcome, sort; fifty in the page at a time.

const PAGE = 50;
const lists = new Map();

// The address bar names the open sample, so that it can be shared; no step in the history, no scrolling.
function address(link) {
  try { history.replaceState(null, '', link); } catch { /* a page inside another page */ }
}

const oneLine = (text) => (text || '').slice(0, 240).replace(/\s+/g, ' ');

class SampleList {
  constructor(root) {
    this.root = root;
    this.route = root.dataset.route;
    this.data = block(root.dataset.block);
    this.whole = root.dataset.whole === '1';
    this.page = 0;
    this.bin = null;
    this.pick = null;
    this.words = '';
    this.order = 'worst';
    this.bars = [...document.querySelectorAll(`.anatomy[data-for="${CSS.escape(root.dataset.block)}"] .bin`)];
    this.picks = [...document.querySelectorAll(`.errors[data-for="${CSS.escape(root.dataset.block)}"] .pick`)];
    this.build();
    this.refresh();
  }

  build() {
    this.search = el('input', { type: 'search', placeholder: 'Search questions and answers', 'aria-label': 'Search samples' });
    let timer = 0;
    this.search.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(() => { this.words = this.search.value.toLowerCase(); this.refresh(); }, 120);
    });
    const sort = el('select', { 'aria-label': 'Order' },
      ...[['worst', 'Worst first'], ['best', 'Best first'], ['id', 'By id']].map(([v, t]) => el('option', { value: v }, t)));
    sort.addEventListener('change', () => { this.order = sort.value; this.refresh(); });
    this.outcome = el('select', { 'aria-label': 'Outcome' }, el('option', { value: '' }, 'All outcomes'),
      ...this.data.bins.map((b, i) => el('option', { value: i }, `${b.label} (${b.n})`)), ...this.groups());
    this.outcome.addEventListener('change', () => {
      const [kind, place] = [this.outcome.value.slice(0, 1), Number(this.outcome.value.slice(1))];
      if (kind === 'k') this.filter(null, place);
      else this.filter(this.outcome.value === '' ? null : Number(this.outcome.value));
    });
    this.count = el('span', { class: 'count', role: 'status' });
    this.items = el('ol', { class: 'list' });
    this.pager = el('div', { class: 'pager' });
    this.root.replaceChildren(el('div', { class: 'toolbar' }, this.search, this.outcome, sort, this.count), this.items, this.pager);
    this.bars.forEach((bar, i) => bar.addEventListener('click', () => this.filter(this.bin === i ? null : i)));
    this.picks.forEach((button) => button.addEventListener('click', () => {
      const pick = Number(button.dataset.pick);
      this.filter(null, this.pick === pick ? null : pick);
    }));
  }

  // What went wrong, and what a defect decided: sets of samples beside the outcomes.
  groups() {
    const out = new Map();
    this.data.picks.forEach((p, i) => {
      if (!out.has(p.group)) out.set(p.group, el('optgroup', { label: p.group }));
      out.get(p.group).append(el('option', { value: `k${i}` }, `${p.label} (${p.n})`));
    });
    return [...out.values()];
  }

  filter(bin, pick = null) {
    this.bin = bin;
    this.pick = pick;
    this.outcome.value = pick !== null ? `k${pick}` : bin === null ? '' : String(bin);
    this.picks.forEach((button) => button.setAttribute('aria-pressed', String(Number(button.dataset.pick) === pick)));
    this.bars.forEach((bar, i) => bar.setAttribute('aria-pressed', String(i === bin)));
    this.refresh();
  }

  matches(s) {
    if (this.bin !== null && s.b !== this.bin) return false;
    if (this.pick !== null && !(s.k || []).includes(this.pick)) return false;
    if (!this.words) return true;
    return [s.i, s.q, s.a, s.h, s.t].some((text) => text && text.toLowerCase().includes(this.words));
  }

  refresh() {
    const all = this.data.samples;
    this.found = all.filter((s) => this.matches(s));
    if (this.order === 'best') this.found.reverse();
    if (this.order === 'id') this.found.sort((a, b) => (a.i < b.i ? -1 : a.i > b.i ? 1 : 0));
    this.page = 0;
    this.draw();
  }

  draw() {
    const total = this.found.length;
    const pages = Math.max(1, Math.ceil(total / PAGE));
    this.page = Math.min(this.page, pages - 1);
    const from = this.page * PAGE;
    const shown = this.found.slice(from, from + PAGE);
    this.count.textContent = `${total.toLocaleString('en')} of ${this.data.samples.length.toLocaleString('en')}`;
    this.items.replaceChildren(...shown.map((s) => this.item(s)));
    if (!total) this.items.replaceChildren(el('li', { class: 'empty' }, this.data.samples.length ? 'No sample matches.' : 'No sample on record yet.'));
    const turn = (step, label) => {
      const button = el('button', { type: 'button', disabled: this.page + step < 0 || this.page + step >= pages }, label);
      button.addEventListener('click', () => { this.page += step; this.draw(); this.root.scrollIntoView({ block: 'start' }); });
      return button;
    };
    this.pager.replaceChildren(...(pages > 1
      ? [turn(-1, 'Previous'), el('span', {}, `${from + 1}–${from + shown.length} of ${total.toLocaleString('en')}`), turn(1, 'Next')]
      : []));
  }

  verdict(s) {
    const bin = this.data.bins[s.b];
    if (s.v === undefined) return bin.tone === 'error' ? 'error' : 'unscored';
    return bin.label === 'right' || bin.label === 'wrong' ? bin.label : plainNumber(s.v);
  }

  // The answer in short: the calls it makes, else its words.
  said(s) {
    if (s.e) return oneLine(s.e.message);
    const calls = callsOf(s);
    return oneLine(calls && calls.length ? calls.map(callLine).join('; ') : s.a);
  }

  item(s) {
    const head = el('button', { class: 'item-head', type: 'button', 'aria-expanded': 'false' },
      el('span', { class: 'pip', 'aria-hidden': 'true' }), el('span', { class: 'id mono' }, s.i),
      el('span', { class: 'ask' }, oneLine(s.q || (this.data.question && s.t)) || s.i), el('span', { class: 'say' }, this.said(s)),
      el('span', { class: 'val' }, this.verdict(s)));
    const node = el('li', { class: `item tone-${this.data.bins[s.b].tone}` }, head);
    head.addEventListener('click', () => this.toggle(node, head, s));
    return node;
  }

  toggle(node, head, s) {
    const open = head.getAttribute('aria-expanded') === 'true';
    head.setAttribute('aria-expanded', String(!open));
    if (open) {
      for (const audio of node.querySelectorAll('audio')) audio.pause();
      node.lastChild.remove();
      address(`#/${this.route}`);
    } else {
      const link = `#/${encodeURI(this.route)}/~/${encodeURIComponent(s.i)}`;
      node.append(sampleBody(s, this.data, link));
      address(link);
    }
  }

  open(id) {
    this.words = '';
    this.search.value = '';
    this.root.querySelector(':scope > .err')?.remove();
    this.filter(null);
    const at = this.found.findIndex((s) => s.i === id);
    if (at < 0) {
      const text = `Sample ${id} is not in this page${this.whole ? '' : '; the CSV of evalkit report has all of them'}.`;
      this.items.before(el('p', { class: 'err', role: 'status' }, text));
      return;
    }
    this.page = Math.floor(at / PAGE);
    this.draw();
    const node = this.items.children[at - this.page * PAGE];
    node.firstChild.click();
    node.firstChild.focus({ preventScroll: true });
    node.scrollIntoView({ block: 'start', behavior: 'instant' });
  }
}

function openSamples(root, sample) {
  if (!lists.has(root)) lists.set(root, new SampleList(root));
  if (sample !== null) lists.get(root).open(sample);
}
