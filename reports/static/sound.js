// Players. A clip is text in the page until somebody opens its sample; one plays at a time.

let playing = null;

function stopSound() {
  if (playing) playing.pause();
  playing = null;
}

function bytesOf(uri) {
  const raw = atob(uri.slice(uri.indexOf(',') + 1));
  return Uint8Array.from(raw, (c) => c.charCodeAt(0)).buffer;
}

async function drawWave(canvas, uri) {
  const sound = await new OfflineAudioContext(1, 1, 22050).decodeAudioData(bytesOf(uri));
  const samples = sound.getChannelData(0);
  const width = canvas.clientWidth * devicePixelRatio;
  const height = 40 * devicePixelRatio;
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext('2d');
  pen.fillStyle = getComputedStyle(canvas).getPropertyValue('--accent');
  const bar = 3 * devicePixelRatio;
  const count = Math.max(1, Math.floor(width / bar));
  const step = Math.max(1, Math.floor(samples.length / count));
  const peaks = Array.from({ length: count }, (_, i) => {
    let top = 0;
    for (let k = i * step; k < Math.min((i + 1) * step, samples.length); k += 1) top = Math.max(top, Math.abs(samples[k]));
    return top;
  });
  const most = Math.max(0.05, ...peaks);
  peaks.forEach((peak, i) => {
    const h = Math.max(devicePixelRatio, (peak / most) * height * 0.92);
    pen.fillRect(i * bar, (height - h) / 2, bar * 0.62, h);
  });
}

function player(uri, label) {
  const audio = el('audio', { controls: true, preload: 'metadata', src: uri, 'aria-label': label });
  const canvas = el('canvas', { 'aria-hidden': 'true' });
  audio.addEventListener('play', () => {
    if (playing && playing !== audio) playing.pause();
    playing = audio;
  });
  canvas.addEventListener('click', (event) => {
    if (Number.isFinite(audio.duration)) audio.currentTime = (event.offsetX / canvas.clientWidth) * audio.duration;
    audio.play();
  });
  // A browser that can't draw the wave still plays it.
  requestAnimationFrame(() => drawWave(canvas, uri).catch(() => canvas.remove()));
  return el('div', { class: 'player' }, canvas, audio);
}

function clipNode(clip, label) {
  const held = byId(`a-${clip.sha}`);
  if (held) return player(held.textContent, label);
  const why = (block('d-sound-missing') || {})[clip.sha];
  return el('p', { class: 'quiet' }, why || `${label}: not in this page, to keep it small (${clip.from}).`);
}
