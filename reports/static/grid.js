// Tables that can be sorted by a column and filtered by name. The page as written stays readable without this.

const FEW = 3;

function cellAt(row, column) {
  let at = 0;
  for (const cell of row.cells) {
    at += cell.colSpan;
    if (at > column) return cell;
  }
  return null;
}

function sortKey(row, column) {
  const cell = cellAt(row, column);
  if (!cell) return null;
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  return cell.matches('.label, .what, .facts th') ? cell.textContent.trim().toLowerCase() : null;
}

// What has no value comes last in both directions; equal rows keep the order of the report.
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (a < b ? -1 : a > b ? 1 : 0);
}

function rowsOf(body) {
  return [...body.rows].filter((row) => !row.matches('.section, .overall'));
}

function sortable(table) {
  const groups = [...table.tBodies].map((body) => ({ body, rows: rowsOf(body) }));
  if (!groups.some((g) => g.rows.length >= FEW)) return;
  const heads = [...table.tHead.rows[0].cells];
  let now = { column: -1, sign: 0 };
  const order = () => {
    heads.forEach((head, i) => {
      if (i === now.column) head.setAttribute('aria-sort', now.sign > 0 ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    });
    table.classList.toggle('sorted', now.column >= 0);
    for (const { body, rows } of groups) {
      const keyed = rows.map((row) => ({ row, key: now.column < 0 ? null : sortKey(row, now.column) }));
      keyed.sort((a, b) => compare(a.key, b.key, now.sign));
      const last = body.querySelector('.overall');
      for (const { row } of keyed) body.insertBefore(row, last);
    }
  };
  heads.forEach((head, i) => {
    const keys = groups.flatMap((g) => g.rows.map((row) => sortKey(row, i)));
    if (!keys.some((k) => k !== null)) return;
    const up = keys.some((k) => typeof k === 'string') ? 1 : -1;
    const button = el('button', { class: 'sort', type: 'button' }, ...head.childNodes);
    button.addEventListener('click', () => {
      if (now.column !== i) now = { column: i, sign: up };
      else now = now.sign === up ? { column: i, sign: -up } : { column: -1, sign: 0 };
      order();
    });
    head.replaceChildren(button);
  });
}

function nameOf(row) {
  return [...row.querySelectorAll('.label, .what')].map((cell) => cell.textContent).join(' ').toLowerCase();
}

function filterable(panel) {
  const bodies = [...panel.querySelectorAll('table.grid > tbody')];
  const rows = bodies.flatMap((body) => [...body.rows].filter((row) => !row.matches('.section')));
  if (rows.length <= 2 * FEW) return;
  const names = rows.map(nameOf);
  const box = el('input', { type: 'search', placeholder: 'Filter rows', 'aria-label': 'Filter rows by task or metric' });
  box.addEventListener('input', () => {
    const wanted = words(box.value.toLowerCase());
    rows.forEach((row, i) => { row.hidden = !wanted.every((word) => names[i].includes(word)); });
    for (const body of bodies) body.hidden = ![...body.rows].some((row) => !row.matches('.section') && !row.hidden);
    panel.classList.toggle('filtered', wanted.length > 0);
    say(`${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`);
  });
  panel.querySelector('.tools').prepend(box);
}

// What the keyboard reaches in a wide table isn't left under the columns that stay in sight.
function uncover({ target }) {
  const row = target.closest('tr');
  const box = target.closest('.scroll');
  const stays = (cell) => !cell.contains(target) && getComputedStyle(cell).position === 'sticky';
  if (!row || !box || row.matches('.section')) return;
  const [first, last] = [row.cells[0], row.cells[row.cells.length - 1]];
  const seen = box.getBoundingClientRect();
  const left = stays(first) ? first.getBoundingClientRect().right : seen.left;
  const right = stays(last) ? last.getBoundingClientRect().left : seen.right;
  const at = target.getBoundingClientRect();
  if (at.left < left) box.scrollLeft -= left - at.left + 8;
  else if (at.right > right) box.scrollLeft += at.right - right + 8;
}

// A long table of groups shows its first rows; sorted by value, those are the best or the worst.
function foldable(button) {
  const table = button.previousElementSibling.querySelector('table');
  button.addEventListener('click', () => {
    const folded = table.classList.toggle('fold');
    button.textContent = folded ? `Show all ${button.dataset.all}` : 'Show fewer';
  });
}

function startGrids() {
  document.querySelectorAll('table.grid, table.facts').forEach(sortable);
  document.querySelectorAll('table.grid').forEach((table) => table.addEventListener('focusin', uncover));
  document.querySelectorAll('.table-panel').forEach(filterable);
  document.querySelectorAll('.unfold').forEach(foldable);
}
