// Function calls: what was expected beside what was made, argument by argument; and the options of a choice.

const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const jsonOf = (v) => (v === undefined ? '' : JSON.stringify(v));

// A call as one line: name(a: 1, b: "x").
function callLine(call) {
  if (!isObject(call)) return jsonOf(call);
  const given = isObject(call.arguments) ? Object.entries(call.arguments).map(([k, v]) => `${k}: ${jsonOf(v)}`).join(', ') : jsonOf(call.arguments);
  return `${nameText(call.name)}(${given})`;
}

// The calls of a headline verdict, or null where it holds none.
function callsOf(sample) {
  for (const s of sample.s || []) if (s.d && Array.isArray(s.d.calls)) return s.d.calls;
  return null;
}

// A name as it is; quoted where its ends are blank, so that they are seen.
const nameText = (name) => (typeof name === 'string' && name === name.trim() && name ? name : jsonOf(name) || '(none)');

const call = (name, values, listed) => ({ name, listed, values: isObject(values) ? values : { '': values } });

// Expected calls in the two forms the data has: lists of alternatives per argument (BFCL), or values (ACEBench).
function expectedCalls(expected, listed) {
  const objects = Array.isArray(expected) ? expected : [expected];
  if (!objects.every(isObject)) return null;
  const all = listed ? objects.flatMap((o) => Object.entries(o).map(([name, values]) => call(name, values, true))) : null;
  if (all) return [all];
  return objects.map((o) => Object.entries(o).map(([key, values]) => call(Object.keys(o).length > 1 ? key.replace(/_\d+$/, '') : key, values, false)));
}

const loose = (v) => (typeof v === 'string' ? v.toLowerCase().replace(/[\s,./\-_*^'"]/g, '') : typeof v === 'number' || typeof v === 'boolean' || v === null ? v : undefined);

// Same or not as far as it can be told here: null for what only the checker knows (objects inside).
function sameValue(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length) return false;
    const each = a.map((x, i) => sameValue(x, b[i]));
    return each.includes(false) ? false : each.includes(null) ? null : true;
  }
  if (isObject(a) || isObject(b)) return null;
  return loose(a) === loose(b) && loose(a) !== undefined;
}

function fits(want, value) {
  if (!want.listed) return sameValue(want.value, value);
  const each = (Array.isArray(want.value) ? want.value : [want.value]).map((v) => sameValue(v, value));
  return each.includes(true) ? true : each.includes(null) ? null : false;
}

function likeness(want, made) {
  const given = isObject(made.arguments) ? made.arguments : {};
  const points = Object.entries(want.values).filter(([k, v]) => k in given && fits({ listed: want.listed, value: v }, given[k]) !== false).length;
  return (want.name === made.name ? 1000 : 0) + points;
}

// Each expected call with the made one that is most like it; what is left over stands alone.
function paired(wanted, made) {
  const left = made.filter(isObject);
  const pairs = wanted.map((want) => ({ want, made: null }));
  const take = (pair, least) => {
    let best = -1;
    left.forEach((m, i) => { if (likeness(pair.want, m) >= least && (best < 0 || likeness(pair.want, m) > likeness(pair.want, left[best]))) best = i; });
    if (best >= 0) [pair.made] = left.splice(best, 1);
  };
  pairs.forEach((pair) => take(pair, 1000));
  pairs.filter((pair) => !pair.made).forEach((pair) => take(pair, 0));
  return [...pairs, ...left.map((m) => ({ want: null, made: m }))];
}

function wantedText(value, listed) {
  if (!listed || !Array.isArray(value)) return [jsonOf(value)];
  const asked = value.filter((v) => v !== '').map(jsonOf);
  const free = value.includes('');
  return [asked.join(' or '), free ? el('span', { class: 'quiet' }, asked.length ? ' or left out' : 'left out') : null];
}

function pairRows(pair, right) {
  const { want, made } = pair;
  const given = made && isObject(made.arguments) ? made.arguments : {};
  const off = (yes) => (yes && !right ? { class: 'off' } : {});
  const head = el('tr', { class: 'call' }, el('th', { scope: 'row' }, 'function'),
    el('td', {}, want ? nameText(want.name) : el('span', { class: 'quiet' }, 'no such call')),
    el('td', off(!want || !made || textOf(made.name) !== want.name), made ? nameText(made.name) : el('span', { class: 'quiet' }, 'no call')));
  const names = [...new Set([...Object.keys(want ? want.values : {}), ...Object.keys(given)])];
  return [head, ...names.map((name) => {
    const wanted = want && Object.hasOwn(want.values, name);
    const there = Object.hasOwn(given, name);
    const value = wanted ? want.values[name] : undefined;
    const free = wanted && want.listed && Array.isArray(value) && value.includes('');
    const wrong = made && want && (wanted ? (there ? fits({ listed: want.listed, value }, given[name]) === false : !free) : true);
    return el('tr', {}, el('th', { scope: 'row' }, name),
      el('td', {}, wanted ? wantedText(value, want.listed) : want ? el('span', { class: 'quiet' }, 'not wanted') : ''),
      el('td', off(wrong), there ? jsonOf(given[name]) : made ? el('span', { class: 'quiet' }, 'left out') : ''));
  })];
}

function parsedOr(text) {
  try { return JSON.parse(text); } catch { return null; }
}

// The table of a sample's calls, or null when nothing in it is one.
function callsNode(sample, judges) {
  const score = (sample.s || []).find((s) => s.d && Array.isArray(s.d.calls));
  if (!score) return null;
  const found = (sample.s || []).map((s) => s.d && s.d.expected).find((e) => e !== undefined && e !== null);
  const expected = found === undefined ? parsedOr(sample.t || '') : found;
  const ways = expectedCalls(expected, !(judges[score.j] || '').includes('acebench'));
  if (!ways) return null;
  const [first, ...others] = ways;
  const pairs = paired(first, score.d.calls);
  return el('div', { class: 'scroll' }, el('table', { class: 'calls' },
    el('thead', {}, el('tr', {}, el('td', {}), el('th', { scope: 'col' }, 'Expected'), el('th', { scope: 'col' }, 'Made'))),
    pairs.map((pair) => el('tbody', {}, pairRows(pair, score.v === 1))),
    pairs.length ? null : el('tbody', {}, el('tr', {}, el('td', { colspan: 3, class: 'quiet' }, 'No call expected, none made.')))),
  others.length ? el('p', { class: 'quiet' }, `Or: ${others.map((way) => way.map((w) => callLine({ name: w.name, arguments: w.values })).join(', ')).join(' — or: ')}`) : null);
}

// Which option each verdict took the answer for, as far as its detail tells: places from 0, with the verdicts' names.
const CHOICE_FACTS = ['chosen', 'place', 'letter', 'extracted'];

function chosenOptions(sample) {
  const out = new Map();
  for (const s of sample.s || []) {
    const d = isObject(s.d) ? s.d : {};
    if (CHOICE_FACTS.some((k) => k in d)) out.voters = (out.voters || 0) + 1;
    const letter = [d.reused, d.letter, d.extracted].find((x) => typeof x === 'string' && /^[A-Z]$/.test(x));
    const at = [d.chosen, d.place].find(Number.isInteger) ?? (letter ? letter.charCodeAt(0) - 65 : -1);
    if (at >= 0) out.set(at, [...(out.get(at) || []), s.m]);
  }
  return out;
}

function optionsNode(sample) {
  const chosen = chosenOptions(sample);
  const plainText = (x) => String(x).trim().toLowerCase();
  const target = plainText(sample.t || '');
  const known = sample.o.some((o) => o !== null && plainText(o) === target);
  return el('ol', { class: 'options' }, sample.o.map((option, i) => {
    const letter = i < 26 ? String.fromCharCode(65 + i) : String(i + 1);
    const right = known ? option !== null && plainText(option) === target : plainText(letter) === target;
    const by = chosen.get(i);
    return el('li', { class: [right && 'right', by && 'chosen'].filter(Boolean).join(' ') || null },
      el('span', { class: 'letter' }, letter), el('span', { class: option === null ? 'quiet' : 'words' }, option === null ? '(none)' : option),
      right ? el('span', { class: 'mark good' }, '✓ right') : null,
      by ? el('span', { class: `mark${right ? ' good' : ' bad'}` }, by.length === chosen.voters ? 'chosen' : `chosen, as ${by.join(', ')} reads it`) : null);
  }), sample.o.length && !chosen.size && sample.s ? el('li', { class: 'quiet' }, 'No verdict says which one was chosen.') : null);
}
