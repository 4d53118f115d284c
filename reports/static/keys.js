// The keyboard: through the samples, into the search, and a page that tells the keys.

const lostIn = (node) => node && node.closest('input, select, textarea, audio, dialog, summary, [contenteditable]');

function listInSight() {
  const root = current && current.querySelector('.samples');
  return root ? lists.get(root) : null;
}

function toSearch() {
  const box = current && [...current.querySelectorAll('input[type="search"]')].find((b) => b.offsetParent);
  if (box) { box.focus(); box.select(); }
  return Boolean(box);
}

function leave(event) {
  if (!byId('card').hidden) return closeCard(true);
  const list = listInSight();
  const at = document.activeElement;
  if (at && at.matches('input[type="search"]')) {
    event.preventDefault();
    if (list && at === list.search) list.focusRow();
    else at.blur();
  } else if (list) list.closeAt(at);
  return undefined;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const at = document.activeElement;
  if (event.key === 'Escape') { if (!byId('help').open) leave(event); return; }
  if (lostIn(at)) return;
  const list = listInSight();
  const head = at && at.matches('.item-head');
  const single = byId('keys-on').checked;
  let done = false;
  if (event.key === '/' && single) done = toSearch();
  else if (event.key === '?' && single) { byId('help').showModal(); done = true; }
  else if (list && ((single && event.key === 'j') || (head && event.key === 'ArrowDown'))) done = list.step(1);
  else if (list && ((single && event.key === 'k') || (head && event.key === 'ArrowUp'))) done = list.step(-1);
  else if (event.key === ' ' && list && (head || (at && at.closest('.item') && !at.matches('button, a')))) done = list.playAt(at);
  if (done) event.preventDefault();
}

function startKeys() {
  const open = byId('help-open');
  open.hidden = false;
  open.addEventListener('click', () => byId('help').showModal());
  byId('help-close').addEventListener('click', () => byId('help').close());
  const on = byId('keys-on');
  on.checked = kept('evalkit-keys') !== 'off';
  on.addEventListener('change', () => kept('evalkit-keys', on.checked ? 'on' : 'off'));
  document.addEventListener('keydown', onKey);
  // A button that was told to play must not be pressed by the same key.
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ' && event.target.matches && event.target.matches('.item-head')) event.preventDefault();
  });
}
