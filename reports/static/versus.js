// The same sample in other runs: where they disagree, and both answers side by side.

const isRight = (data, s) => (s.v === undefined || !data.binary ? null : s.v === (data.higher === false ? 0 : 1));

// The ways in which a sample of one run differs from that of another; a sample is in several.
const WAYS = [
  ['ab', (a, b) => `${a} right, ${b} wrong`, (x) => x.right === true && x.other === false],
  ['ba', (a, b) => `${a} wrong, ${b} right`, (x) => x.right === false && x.other === true],
  ['ww', () => 'both wrong', (x) => x.right === false && x.other === false],
  ['hi', (a, b) => `${a} better than ${b}`, (x) => x.graded && x.gap > 0],
  ['lo', (a, b) => `${a} worse than ${b}`, (x) => x.graded && x.gap < 0],
  ['oa', (a, b) => `scored in ${a} alone`, (x) => x.here && !x.there],
  ['ob', (a, b) => `scored in ${b} alone`, (x) => !x.here && x.there],
  ['tx', () => 'answers differ in words', (x) => x.both && x.words],
];

class Versus {
  constructor(here, run, there) {
    this.run = run;
    this.data = there;
    this.byId = new Map(there.samples.map((s) => [s.i, s]));
    this.sets = new Map(WAYS.map(([key]) => [key, new Set()]));
    for (const s of here.samples) {
      const facts = this.facts(here, s);
      for (const [key, , test] of WAYS) if (test(facts)) this.sets.get(key).add(s);
    }
    this.sets.set('no', new Set(here.samples.filter((s) => !this.byId.has(s.i))));
  }

  facts(here, s) {
    const other = this.byId.get(s.i);
    const [x, y] = [s.v, other && other.v];
    const known = x !== undefined && y !== undefined;
    const sign = here.higher === false ? -1 : 1;
    const right = isRight(here, s);
    return {
      right, other: other ? isRight(this.data, other) : null, both: Boolean(other),
      graded: known && right === null, gap: known ? sign * (x - y) : 0,
      here: x !== undefined, there: y !== undefined,
      words: Boolean(other) && (s.a || '') !== (other.a || ''),
    };
  }

  // Options of a select: only the ways that occur.
  options(label, at) {
    const told = [...WAYS.map(([key, name]) => [key, name(label, this.run.label)]), ['no', `not in this page for ${this.run.label}`]];
    return told.filter(([key]) => this.sets.get(key).size).map(([key, name]) => el('option', { value: `${at}:${key}` },
      `${name} (${this.sets.get(key).size.toLocaleString('en')})`));
  }
}

// The answers of several runs to one question, beside each other.
function sidesNode(sides) {
  return el('div', { class: 'sides' }, sides.map(({ label, data, sample }) => el('section', { class: 'side', role: 'group', 'aria-label': label },
    el('h3', {}, label, sample ? el('span', { class: `mark ${toneOf(data, sample)}` }, verdictOf(data, sample)) : null),
    sample ? el('dl', { class: 'answer' }, answerRows(sample, data).map(rowNode)) : el('p', { class: 'quiet' }, 'This page has no such sample of this run.'))));
}

// `l`: what a comparison says of the sample in this run.
function verdictOf(data, s) {
  if (s.l !== undefined) return s.l;
  const bin = data.bins[s.b];
  if (s.v === undefined) return bin.tone === 'error' ? 'error' : 'unscored';
  return data.binary ? bin.label : plainNumber(s.v);
}

const toneOf = (data, s) => (data.binary && s.v !== undefined ? (s.v === (data.higher === false ? 0 : 1) ? 'good' : 'bad') : 'quiet');
