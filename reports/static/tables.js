// The card of a table cell, and the copy buttons.

let cardOf = null;

function closeCard(refocus) {
  const card = byId('card');
  if (card.hidden) return;
  card.hidden = true;
  if (refocus && cardOf) cardOf.focus();
  cardOf = null;
}

function fillCard(card, c) {
  const close = el('button', { class: 'x', type: 'button', 'aria-label': 'Close' }, '×');
  close.addEventListener('click', () => closeCard(true));
  card.replaceChildren(
    close,
    el('h3', {}, `${c.title} · ${c.model}`),
    el('div', { class: 'value' }, c.value),
    c.facts.length ? el('dl', {}, c.facts.map(([k, v]) => [el('dt', {}, k), el('dd', {}, v)])) : '',
    ...c.notes.map((n) => el('p', {}, n)),
    c.signature ? el('p', { class: 'sig' }, el('code', {}, c.signature)) : '',
    c.link ? el('p', {}, el('a', { href: routeLink(c.link) }, 'Rule, anatomy and samples')) : '',
  );
  return close;
}

function openCard(button) {
  const found = block('d-cells')[button.dataset.cell];
  if (!found) return;
  const card = byId('card');
  const again = cardOf === button;
  closeCard();
  if (again) return;
  const close = fillCard(card, found);
  card.hidden = false;
  cardOf = button;
  const at = button.getBoundingClientRect();
  const left = Math.max(16, Math.min(at.right - card.offsetWidth, window.innerWidth - card.offsetWidth - 16));
  const below = at.bottom + 8 + card.offsetHeight < window.innerHeight || at.top < card.offsetHeight + 70;
  card.style.left = `${left + window.scrollX}px`;
  card.style.top = `${(below ? at.bottom + 8 : at.top - card.offsetHeight - 8) + window.scrollY}px`;
  close.focus({ preventScroll: true });
}

function startTables() {
  document.addEventListener('click', (event) => {
    const cell = event.target.closest('[data-cell]');
    if (cell) return openCard(cell);
    if (!event.target.closest('#card')) closeCard();
    const button = event.target.closest('[data-copy]');
    if (button) copy(block('d-copies')[button.dataset.copy], button);
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') closeCard(true);
  });
}
