// Players. A clip is text in the page, or a file beside it, until somebody opens its sample; one plays at a time.

let playing = null;

function stopSound() {
  if (playing) playing.pause();
  playing = null;
}

const SVG = () => byId('svg').namespaceURI;
const LEVELS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_';
const TALL = 40;

function drawn(tag, attributes, ...children) {
  const node = document.createElementNS(SVG(), tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

// The wave of a clip from its peaks (one character each, 64 levels): once quiet, once in colour as far as it was played.
function waveNode(peaks) {
  const bars = [...peaks].map((c) => Math.max(0, LEVELS.indexOf(c)) / 63);
  const d = bars.map((peak, i) => {
    const half = Math.max(0.5, (peak * TALL * 0.94) / 2);
    return `M${i + 0.5} ${(TALL / 2 - half).toFixed(1)}v${(2 * half).toFixed(1)}`;
  }).join('');
  const box = { viewBox: `0 0 ${bars.length} ${TALL}`, preserveAspectRatio: 'none' };
  const inner = drawn('svg', { ...box, x: 0, y: 0, width: 0, height: TALL, class: 'played' }, drawn('path', { d }));
  const svg = drawn('svg', { ...box, class: 'wave', 'aria-hidden': 'true' }, drawn('path', { d }), inner);
  svg.upTo = (share) => {
    const width = Math.max(0.001, bars.length * Math.min(1, share));
    inner.setAttribute('width', width);
    inner.setAttribute('viewBox', `0 0 ${width} ${TALL}`);
  };
  svg.upTo(0);
  return svg;
}

function player(source, held, label) {
  const audio = el('audio', { controls: true, preload: 'metadata', src: source, 'aria-label': label });
  const wave = held && held.w ? waveNode(held.w) : null;
  const seconds = () => (Number.isFinite(audio.duration) ? audio.duration : (held && held.s) || 0);
  const follow = () => {
    if (wave && seconds()) wave.upTo(audio.currentTime / seconds());
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener('play', () => {
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    follow();
  });
  for (const name of ['timeupdate', 'seeked', 'ended']) audio.addEventListener(name, follow);
  const node = el('div', { class: 'player' }, wave, audio);
  audio.addEventListener('error', () => node.append(el('p', { class: 'quiet' }, 'This browser cannot play it.')), { once: true });
  if (wave) {
    wave.addEventListener('click', (event) => {
      const box = wave.getBoundingClientRect();
      if (seconds()) audio.currentTime = ((event.clientX - box.left) / box.width) * seconds();
      audio.play().catch(() => {}); // paused before it began
    });
  }
  return node;
}

function clipNode(clip, label) {
  const held = (block('d-sound') || {})[clip.sha];
  const text = byId(`a-${clip.sha}`);
  const source = text ? text.textContent : held && held.u;
  if (source) return player(source, held, label);
  const why = (block('d-sound-missing') || {})[clip.sha];
  return el('p', { class: 'quiet' }, why || `${label}: not in this page, to keep it small (${clip.from}).`);
}
