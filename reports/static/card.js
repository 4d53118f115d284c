// One sample, opened: what was asked, expected, said, heard, and the verdicts with what made them.

const plainNumber = (v) => (Number.isInteger(v) ? String(v) : String(Math.round(v * 1e4) / 1e4));

const isFlat = (v) => v === null || typeof v !== 'object';

function textOf(value) {
  if (typeof value === 'string') return value;
  const short = Array.isArray(value) ? value.every(isFlat) : !isFlat(value) && Object.values(value).every(isFlat);
  return JSON.stringify(value, null, short ? 0 : 1);
}

const words = (text) => text.split(/\s+/).filter(Boolean);
const bare = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

// Word by word: what the text says and the transcript doesn't is struck out, the other way round underlined.
function diffNode(said, heard) {
  const a = words(said);
  const b = words(heard);
  if (!a.length || !b.length || a.length * b.length > 400000) return el('div', { class: 'words' }, heard);
  const x = a.map(bare);
  const y = b.map(bare);
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i][j] = x[i] === y[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const out = el('div', { class: 'words diff' });
  const put = (tag, word) => out.append(tag ? el(tag, {}, word) : word, ' ');
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && x[i] === y[j]) { put('', b[j]); i += 1; j += 1; }
    else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) { if (x[i]) put('del', a[i]); i += 1; }
    else { put(y[j] ? 'ins' : '', b[j]); j += 1; }
  }
  return out;
}

// A recogniser's alignment, token by token: what the answer lacks is struck out, what only it has is underlined.
function alignmentNode(detail) {
  const spoken = String(detail.reference).split(' ');
  const out = el('div', { class: 'words diff' });
  let at = 0;
  for (const [op, a, b] of detail.alignment.filter(Array.isArray)) {
    if (op === '=') { out.append(spoken.slice(at, at + a).join(' '), ' '); at += a; }
    else if (op === 'S') { out.append(el('span', { class: 'swap' }, el('del', {}, a), ' ', el('ins', {}, b)), ' '); at += 1; }
    else if (op === 'D') { out.append(el('del', {}, a), ' '); at += String(a).split(' ').length; }
    else out.append(el('ins', {}, a), ' ');
  }
  if (detail.cut) out.append(el('span', { class: 'quiet' }, `\u2026 ${detail.cut}`));
  return out;
}

function alignedNode(score) {
  const { alignment, reference, hypothesis, cut, ...rest } = score.d;
  const c = score.c || {};
  const line = c.length === undefined ? '' : `${plainNumber(c.errors)} error${c.errors === 1 ? '' : 's'} / ${plainNumber(c.length)} reference tokens`
    + ` · ${plainNumber(c.substitutions)} substituted · ${plainNumber(c.deletions)} deleted · ${plainNumber(c.insertions)} inserted`;
  const node = el('div', {}, alignmentNode(score.d), el('div', { class: 'quiet' }, line),
    c.errors ? el('div', { class: 'quiet diff' }, 'In the reference only: ', el('del', {}, 'struck out'), '. In the answer only: ', el('ins', {}, 'underlined'), '.') : null);
  return [node, rest];
}

const isAligned = (score) => score.d && Array.isArray(score.d.alignment) && typeof score.d.reference === 'string';

// What a judge said, vote by vote.
function repliesNode(replies, votes) {
  return el('ol', { class: 'replies' }, replies.map((reply, i) => el('li', {},
    votes && votes[i] !== undefined && votes[i] !== null ? el('b', {}, `${textOf(votes[i])}: `) : null, el('span', { class: 'words' }, textOf(reply)))));
}

const hundredths = (p) => `${p > 0 && p < 0.01 ? '< 1' : Math.round(100 * p)}\u202f%`;

// "G-Eval 4.31: 3 2 %, 4 65 %, 5 33 %; captured 98 %": the ratings a judge might have given, and how much of them was seen.
function gevalNode(score) {
  const { distribution, mass, method, plain } = score.d.geval;
  const ratings = Object.entries(distribution).filter(([, p]) => typeof p === 'number' && p > 0)
    .sort((a, b) => Number(a[0]) - Number(b[0])).map(([rating, p]) => `${rating} ${hundredths(p)}`);
  const value = score.v === undefined ? '' : ` ${Math.round(score.v * 100) / 100}`;
  const facts = [`G-Eval${value}: ${ratings.join(', ')}`];
  if (typeof mass === 'number') facts.push(method === 'logprobs' ? `captured ${hundredths(mass)}` : `${hundredths(mass)} of the replies could be read`);
  if (plain !== undefined && plain !== null) facts.push(`the reply itself said ${plainNumber(plain)}`);
  return el('div', { class: 'quiet geval' }, facts.join('; '));
}

const isWeighed = (score) => isObject(score.d) && isObject(score.d.geval) && isObject(score.d.geval.distribution);

function voteNode(whole, judges, drawn) {
  const value = whole.v === undefined ? 'unscored' : plainNumber(whole.v);
  let aligned = null;
  let score = whole;
  if (isAligned(whole)) {
    const [node, rest] = alignedNode(whole);
    aligned = node;
    score = { ...whole, d: rest, c: null };
  }
  if (drawn && isObject(score.d)) { // stands above, side by side
    const { calls, expected, ...rest } = score.d;
    score = { ...score, d: rest };
  }
  let weighed = null;
  if (isWeighed(score)) {
    weighed = gevalNode(score);
    const { geval, ...rest } = score.d;
    const { distribution, mass, plain, ...left } = geval;
    score = { ...score, d: { ...rest, geval: left } };
  }
  let replies = null;
  if (isObject(score.d) && Array.isArray(score.d.replies) && score.d.replies.length) {
    const { replies: told, votes, ...rest } = score.d;
    const paired = Array.isArray(votes) && votes.length === told.length;
    replies = repliesNode(told, paired ? votes : null);
    score = { ...score, d: paired || votes === undefined ? rest : { ...rest, votes } };
  }
  const facts = { ...(score.c || {}), ...(score.d && typeof score.d === 'object' && !Array.isArray(score.d) ? score.d : score.d ? { detail: score.d } : {}) };
  if (score.t) facts['decided by a defect'] = score.t;
  const rows = Object.entries(facts).map(([k, v]) => [
    el('dt', {}, k),
    el('dd', {}, Array.isArray(v) && v.every((x) => typeof x === 'string') ? v.join('\n') : textOf(v)),
  ]);
  return el('div', { class: 'vote' },
    el('div', {}, el('b', {}, `${score.m} ${value}`), el('span', { class: 'quiet' }, `  ${judges[score.j] || ''}`)),
    score.r ? el('div', { class: 'err' }, score.r) : null,
    aligned,
    weighed,
    replies ? el('div', { class: 'quiet' }, 'The judge, vote by vote:') : null,
    replies,
    rows.length ? el('dl', {}, rows) : null);
}

function sentNode(clip, which) {
  const facts = which ? [which] : [];
  if (clip.seconds !== undefined && clip.seconds !== null) facts.push(`sent ${plainNumber(clip.seconds)} s`);
  if (clip.rate) facts.push(`${plainNumber(clip.rate / 1000)} kHz`);
  if (clip.cut) facts.push('cut short');
  if (clip.from) facts.push(clip.from);
  if (clip.sha) facts.push(`sha256 ${clip.sha.slice(0, 12)}`);
  return el('div', { class: 'quiet' }, facts.join(' · '));
}

const rowNode = ([name, ...nodes]) => [el('dt', {}, name), el('dd', {}, nodes)];

// What the runner remarks on an answer and a reader should not have to look for in the record.
function remarksNode(meta) {
  const told = [];
  if (meta.truncated === true) told.push('cut off at the limit of tokens');
  if (meta.unheard) told.push('a recording in the question was too short to be heard');
  if (meta.speech === 'ids') told.push('its speech is kept as ids, not yet as sound');
  if (meta.speech === 'empty') told.push('nothing was said aloud');
  return told.length ? el('div', { class: 'quiet' }, told.join(' · ')) : null;
}

// What a model said to a question, and what became of it.
function answerRows(sample, data) {
  const out = [];
  const outs = (sample.au || []).filter((c) => c.role === 'out');
  const calls = callsNode(sample, data.judges);
  if (sample.e) out.push(['Error', el('div', { class: 'err' }, `${sample.e.kind}: ${sample.e.message}`), el('div', { class: 'quiet' }, `after ${sample.e.attempts || 1} attempt(s)`)]);
  else out.push(['Answer', el('div', { class: 'words' }, sample.a || '(nothing)'), remarksNode(sample.meta || {}), outs.map((c) => clipNode(c, 'Spoken answer'))]);
  if (sample.h !== undefined) out.push(['Heard', diffNode(sample.a || '', sample.h), el('div', { class: 'quiet' }, sample.hn || '')]);
  if (calls) out.push(['Calls', calls]);
  if (sample.calls) out.push(['Tool calls', el('div', { class: 'quiet' }, 'as the endpoint gave them'), el('pre', {}, JSON.stringify(sample.calls, null, 1))]);
  if (sample.s) out.push(['Verdict', sample.s.map((s) => voteNode(s, data.judges, calls))]);
  else if (sample.r && !sample.e) out.push(['Verdict', el('div', { class: 'err' }, sample.r)]);
  const timing = Object.entries(sample.tm || {}).filter(([, v]) => typeof v === 'number').map(([k, v]) => `${k} ${plainNumber(v)} s`);
  const facts = [...timing, ...Object.entries(sample.us || {}).filter(([, v]) => typeof v === 'number').map(([k, v]) => `${v} ${k.replaceAll('_', ' ')}`)];
  if (sample.x) facts.push(`response ${sample.x}`);
  if (sample.meta) facts.push(JSON.stringify(sample.meta));
  out.push(['Record', el('div', { class: 'quiet' }, facts.join(' · ')), el('div', { class: 'quiet mono' }, data.signature)]);
  return out;
}

// `sides`: the same sample in several runs, this one first; their answers stand beside each other.
function sampleBody(sample, data, link, sides = []) {
  const ins = (sample.au || []).filter((c) => c.role === 'in');
  const button = el('button', { class: 'plainbutton', type: 'button' }, 'Copy link');
  button.addEventListener('click', () => copy(location.href.split('#')[0] + link, button));
  const question = sample.q || data.question || '(no words on record)';
  const name = (i) => (ins.length > 1 ? `Audio ${i + 1} of ${ins.length} as sent` : 'Question as sent');
  const rows = [];
  if (sample.bf) rows.push(['Before', sample.bf.map(([role, said]) => el('div', { class: 'words' }, el('b', {}, role), `  ${said}`))]);
  rows.push(['Question', button, el('div', { class: 'words' }, question),
    ins.map((c, i) => [clipNode(c, name(i)), sentNode(c, ins.length > 1 ? `${i + 1} of ${ins.length}` : '')])]);
  if (sample.o) rows.push(['Options', optionsNode(sample)]);
  if (sample.t && !callsNode(sample, data.judges)) rows.push(['Expected', el('div', { class: 'words' }, sample.t)]);
  const told = sides.length < 2 ? answerRows(sample, data) : [];
  rows.push(...told.slice(0, -1));
  if (sample.g) rows.push(['Groups', el('div', { class: 'quiet' }, Object.entries(sample.g).map(([k, v]) => `${k}: ${textOf(v)}`).join(' · '))]);
  rows.push(...told.slice(-1));
  const body = el('dl', { class: 'body' }, rows.map(rowNode));
  return sides.length < 2 ? body : el('div', {}, body, sidesNode(sides));
}
