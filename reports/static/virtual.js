// A long list of which only what is in sight is in the page. Rows are of one height but those that are open.

const SPARE = 500;
const FEW_ROWS = 150; // so many are all in the page: it can be searched by the browser, and printed
const PRINTED = 400;
const LEAST = 40; // also before the list comes into sight

class VirtualList {
  // `make(k)` gives the element of row k, `name(k)` what that row is called whatever its place.
  constructor(root, make, name) {
    Object.assign(this, { root, make, name, n: 0, rowHeight: 42, nodes: new Map(), extra: new Map(), cursor: -1 });
    this.watch = new ResizeObserver((entries) => {
      for (const { target } of entries) this.measure(target);
      this.draw();
    });
    const soon = () => { this.frame = this.frame || requestAnimationFrame(() => { this.frame = 0; this.draw(); }); };
    window.addEventListener('scroll', soon, { passive: true });
    window.addEventListener('beforeprint', () => { this.whole = true; this.draw(); });
    window.addEventListener('afterprint', () => { this.whole = false; this.draw(); });
    window.addEventListener('resize', () => { this.rowHeight = 0; soon(); });
  }

  // Other rows, or the same in another order; open ones are handed over by name.
  reset(n) {
    this.n = n;
    this.places = null;
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
    this.draw();
  }

  keep(name, node) {
    this.extra.set(name, 0);
    node.dataset.open = name;
    this.watch.observe(node);
    this.places = null;
    this.measure(node);
    this.draw();
  }

  drop(name, node) {
    this.watch.unobserve(node);
    this.extra.delete(name);
    this.places = null;
    this.draw();
  }

  measure(node) {
    const name = node.dataset.open;
    if (!this.extra.has(name) || !node.isConnected) return;
    this.extra.set(name, Math.max(0, node.getBoundingClientRect().height - this.rowHeight));
    this.places = null;
  }

  // Places of the open rows, with what they are taller than others.
  tall() {
    if (!this.places) {
      this.places = [];
      if (this.extra.size) {
        for (let k = 0; k < this.n; k += 1) if (this.extra.has(this.name(k))) this.places.push([k, this.extra.get(this.name(k))]);
      }
    }
    return this.places;
  }

  top(k) {
    let y = k * this.rowHeight;
    for (const [at, more] of this.tall()) if (at < k) y += more;
    return y;
  }

  // The last row that begins at or above y.
  rowAt(y) {
    let [low, high] = [0, this.n - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.top(middle) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  draw() {
    if (!this.root.offsetParent && this.root.getClientRects().length === 0) return;
    if (!this.rowHeight || !this.nodes.size) this.learn();
    if (!this.n) return;
    const above = -this.root.getBoundingClientRect().top;
    const all = this.n <= FEW_ROWS || this.whole;
    const first = all ? 0 : this.rowAt(Math.max(0, above - SPARE));
    const seen = this.rowAt(Math.max(0, above + window.innerHeight + SPARE));
    const last = all ? Math.min(this.n, PRINTED) - 1 : Math.min(this.n - 1, Math.max(seen, first + LEAST));
    if (this.whole && this.n > PRINTED) this.root.dataset.cut = `The first ${PRINTED} of ${this.n.toLocaleString('en')} samples are printed.`;
    else delete this.root.dataset.cut;
    for (const [k, node] of this.nodes) {
      if (k < first || k > last) { node.remove(); this.nodes.delete(k); }
    }
    let before = null;
    for (let k = last; k >= first; k -= 1) {
      let node = this.nodes.get(k);
      if (!node) {
        node = this.make(k);
        node.setAttribute('aria-setsize', this.n);
        node.setAttribute('aria-posinset', k + 1);
        this.nodes.set(k, node);
        this.root.insertBefore(node, before);
      }
      before = node;
    }
    const end = this.top(last + 1);
    this.root.style.paddingTop = `${this.top(first)}px`;
    this.root.style.paddingBottom = `${Math.max(0, this.top(this.n) - end)}px`;
  }

  // The height of a closed row, from one.
  learn() {
    if (!this.n) { this.root.style.paddingTop = '0'; this.root.style.paddingBottom = '0'; return; }
    let k = 0;
    while (k < this.n - 1 && this.extra.has(this.name(k))) k += 1;
    const node = this.make(k);
    if (node.dataset.open === undefined) {
      this.root.append(node);
      this.rowHeight = node.getBoundingClientRect().height || 42;
      node.remove();
    } else {
      this.rowHeight = 42;
      this.root.append(node);
    }
    this.nodes.forEach((each) => each.remove());
    this.nodes.clear();
  }

  // Row k in the page and in sight; its element.
  reach(k, start = false) {
    this.draw();
    const below = 66 + (this.bar ? this.bar.offsetHeight : 0);
    const y = this.top(k) + this.root.getBoundingClientRect().top;
    if (start || y < below || y + this.rowHeight > window.innerHeight - 20) {
      const wanted = start || y < below ? below : window.innerHeight - this.rowHeight - 40;
      window.scrollTo({ top: window.scrollY + y - wanted, behavior: 'instant' });
      this.draw();
    }
    return this.nodes.get(k);
  }
}
