/**
 * What the page shows: conversations at the side, the messages of one of them, how each fared.
 *
 *     conversation { kind: 'user' | 'group', name, items: [item …] in order, unread, draft }
 *     item         { name, kind, to, from, own, text, status, why, at, epoch, seq } or { note }
 *     status       pending -> ok -> got (delivered), or failed, unsure
 *
 * Text from others only ever becomes a text node or a property: there is no innerHTML in this page.
 * This module does not know how anything comes or goes; `view.resend` and such say what was wished.
 */

import { clock, day, locale, nameFault, t } from './chat-words.js';

const LOG_MAX = 1000;           // messages shown per conversation
const CHARS_MAX = 2_000_000;    // and characters
const SHOWN_MAX = 8_000;        // characters of one message shown before "show all"
const CONVERSATIONS_MAX = 200;
const RUN_MS = 180_000;         // messages of one person within that stand together

export const $ = (id) => document.getElementById(id);

export const view = {
  me: '',
  home: 'lobby',       // the group of the address
  open: null,          // the conversation on the screen
  compare: () => 0,    // the order of items
  isMember: () => true,
  resend: () => {},
};

export const talks = new Map(); // key -> conversation
const items = new Map();        // name -> item: nothing is shown twice
const people = new Set();       // names for "To"

export const label = ({ kind, name }) =>
  (kind === 'user' ? name : name === '*' ? t('all') : `#${name}`);

export function el(tag, props = {}, ...kids) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key in node) node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...kids);
  return node;
}

function icon(name, className = '') {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', className);
  svg.append(use);
  return svg;
}

function face(name, kind) {
  let hue = 0;
  for (const c of name) hue = (hue * 31 + c.codePointAt(0)) % 360;
  const node = el('span', { className: `face ${kind}`, 'aria-hidden': 'true' },
    kind === 'user' ? Array.from(name)[0]?.toUpperCase() ?? '?' : icon('all'));
  if (kind === 'user' && name) node.style.setProperty('--hue', hue);
  return node;
}

export const news = (text) => { $('news').textContent = text; };

// ---- conversations ------------------------------------------------------------------------------

export const homeTalk = () => talk('group', view.home);

export function talk(kind, name) {
  const key = `${kind} ${name}`;
  if (talks.has(key)) return talks.get(key);
  const c = { key, kind, name, items: [], chars: 0, unread: 0, draft: '', isTrimmed: false };
  c.badge = el('span', { className: 'badge' });
  c.unreadWords = el('span', { className: 'sr' });
  c.nameNode = el('bdi', { className: 'name' });
  c.lastNode = el('span', { className: 'last', dir: 'auto' });
  c.button = el('button', { type: 'button', className: 'conv' }, face(name, kind),
    el('span', { className: 'what' }, c.nameNode, c.lastNode), c.badge, c.unreadWords);
  c.button.addEventListener('click', () => { show(c); focusText(); });
  c.row = el('li', {}, c.button);
  $('add').before(c.row);
  talks.set(key, c);
  // Anybody can invent senders: the list stays finite.
  for (const old of talks.values()) {
    if (talks.size <= CONVERSATIONS_MAX) break;
    if (old === open() || old === c || old.draft || old.name === view.home) continue;
    forget(old);
  }
  refreshButton(c);
  return c;
}

const open = () => view.open;

/** Takes a conversation out of the list. */
export function forget(c) {
  for (const item of c.items) if (!item.note) items.delete(item.name);
  c.row.remove();
  talks.delete(c.key);
}

export function forgetAll() {
  for (const c of [...talks.values()]) forget(c);
  items.clear();
  people.clear();
  $('people').replaceChildren();
  $('log').replaceChildren();
  view.open = null;
}

function refreshButton(c) {
  c.nameNode.textContent = label(c);
  c.lastNode.textContent = c.items.findLast((item) => item.text)?.text.slice(0, 120) ?? '';
  c.badge.hidden = !c.unread;
  c.badge.textContent = c.unread > 99 ? '99+' : c.unread;
  c.unreadWords.textContent = c.unread ? t('unread', { n: c.unread }) : '';
  c.button.setAttribute('aria-current', c === open());
}

/** Names that are offered in "To". */
function offer(name) {
  if (people.has(name) || people.size >= CONVERSATIONS_MAX || name === view.me) return;
  if (nameFault(name)) return;
  people.add(name);
  $('people').append(el('option', { value: name }));
}

// ---- items --------------------------------------------------------------------------------------

export const find = (name) => items.get(name);

/** Shows an item at its place, but not one note after another that says the same: then it is
 * false. `isNews`: it came now, and is not only shown again. */
export function add(item, isNews) {
  items.set(item.name, item);
  if (item.note) {
    // What may be missing may be missing anywhere.
    const places = [...talks.values()].filter((c) => c.items.length || c === homeTalk());
    return places.filter((c) => insert(c, { ...item })).length > 0;
  }
  const c = item.talk = talk(item.kind, item.to);
  insert(c, item);
  if (!item.own && item.from) offer(item.from);
  if (c.kind === 'user') offer(c.name);
  if (isNews && !item.own && (c !== open() || document.hidden)) {
    c.unread += 1;
    if (c.kind === 'user') news(t('newFrom', { who: c.name }));
  }
  return true;
}

function insert(c, item) {
  let place = c.items.length;
  while (place > 0 && view.compare(c.items[place - 1], item) > 0) place -= 1;
  if (item.note && c.items[place - 1]?.note === item.note && item.note !== 'dropped') return false;
  c.items.splice(place, 0, item);
  c.chars += item.text?.length ?? 0;
  while (c.items.length > LOG_MAX || (c.chars > CHARS_MAX && c.items.length > 1)) {
    c.isTrimmed = true;
    const [gone] = c.items;
    takeOut(c, gone);
    items.delete(gone.name);
  }
  refreshSoon(c);
  return true;
}

function takeOut(c, item) {
  const place = c.items.indexOf(item);
  if (place < 0) return;
  c.items.splice(place, 1);
  c.chars -= item.text?.length ?? 0;
  erase(item);
  refreshSoon(c);
}

function erase(item) {
  item.nodes?.forEach((node) => node.remove());
  item.nodes = item.statusNode = null;
}

export function drop(item) {
  items.delete(item.name);
  takeOut(item.talk, item);
}

/** An item has another name, status or place now. */
export function update(item, change, place = () => {}) {
  items.delete(item.name);
  Object.assign(item, change);
  items.set(item.name, item);
  const c = item.talk;
  const at = c.items.indexOf(item);
  if (at < 0) return;
  place(item);
  c.items.splice(at, 1);
  let next = c.items.length;
  while (next > 0 && view.compare(c.items[next - 1], item) > 0) next -= 1;
  c.items.splice(next, 0, item);
  drawStatus(item);
  refreshSoon(c);
}

/** What was shown before, and what older than that was kept once. */
export function markTrimmed(c) {
  c.isTrimmed = true;
  refreshSoon(c);
}

// ---- painting -----------------------------------------------------------------------------------

let isPainting = false;
let pause = 0;
let isStuck = true; // the log is read at its end, and stays there

// A burst of messages is painted once, and the longer painting takes, the rarer it is done. A
// hidden window gets no frames, so it paints by timer.
function refreshSoon(c) {
  c.isStale = true;
  paintSoon();
}

export function paintSoon() {
  if (isPainting) return;
  isPainting = true;
  const paint = () => {
    const began = performance.now();
    isPainting = false;
    for (const c of talks.values()) {
      if (!c.isStale) continue;
      c.isStale = false;
      refreshButton(c);
      if (c === open()) paintLog();
    }
    paintTitle();
    pause = Math.min(1_000, 5 * (performance.now() - began));
  };
  if (document.hidden || pause > 100) setTimeout(paint, Math.max(250, pause));
  else requestAnimationFrame(paint);
}

export function paintTitle() {
  let unread = 0;
  for (const c of talks.values()) unread += c.unread;
  document.title = `${unread ? `(${unread}) ` : ''}${view.me ? `${view.me} · ` : ''}Switchboard`;
}

// Puts the items of the open conversation in order, and draws those that are new or whose
// neighbours are: who stands first in a run says who it is.
function paintLog() {
  const log = $('log');
  const c = open();
  log.querySelector('.empty')?.remove();
  if (!c.items.length) log.append(emptiness());
  if (c.isTrimmed && !log.querySelector('.older')) {
    log.prepend(el('p', { className: 'note older' }, t('older')));
  }
  const fresh = c.items.filter((item, at) => arrange(item, c.items[at - 1]));
  const older = log.querySelector('.older');
  let cursor = older ? older.nextSibling : log.firstChild;
  for (const node of c.items.flatMap(({ nodes }) => nodes)) {
    if (node === cursor) cursor = cursor.nextSibling;
    else log.insertBefore(node, cursor);
  }
  if (fresh.length < 4) fresh.forEach(({ nodes }) => nodes.at(-1).classList.add('new'));
  if (isStuck || fresh.some(({ own, status }) => own && status === 'pending')) toEnd();
  else if (fresh.some((item) => !item.note)) $('jump').hidden = false;
}

/** Draws an item if it is new, or has others before it than before. True if it is new. */
function arrange(item, before) {
  const isFirst = !(before && !before.note && before.from === item.from
    && before.own === item.own && Math.abs(item.at - before.at) < RUN_MS);
  const dayOf = ({ at }) => new Date(at).toDateString();
  const isDay = before ? dayOf(before) !== dayOf(item) : dayOf(item) !== dayOf({ at: Date.now() });
  const isNew = !item.nodes;
  if (!isNew && item.isFirst === isFirst && item.isDay === isDay) return false;
  erase(item);
  Object.assign(item, { isFirst, isDay });
  item.nodes = draw(item);
  return isNew;
}

function emptiness() {
  const kind = open().kind === 'user' ? 'User' : 'Group';
  return el('div', { className: 'empty' }, face(open().name, open().kind),
    el('strong', {}, t(`empty${kind}`, { who: label(open()) })),
    t(`empty${kind}Hint`, { who: label(open()) }));
}

function draw(item) {
  const nodes = item.isDay ? [el('p', { className: 'day' }, day(item.at))] : [];
  if (item.note) {
    const word = item.note === 'dropped' && item.values.n === 1 ? 'dropped1' : item.note;
    return [...nodes, el('p', { className: item.warn ? 'note warn' : 'note' },
      t(word, item.values))];
  }
  const text = drawText(item);
  const row = el('div',
    { className: `msg ${item.own ? 'mine' : ''} ${item.isFirst ? 'first' : ''}` },
    face(item.from ?? '', 'user'), drawBy(item), text);
  if (item.own) {
    item.statusNode = el('div', { 'aria-live': 'off' }); // see `news`
    row.append(item.statusNode);
    drawStatus(item);
  }
  return [...nodes, row];
}

function drawBy(item) {
  const time = el('time', { dateTime: new Date(item.at).toISOString() }, clock(item.at));
  const from = item.from ?? t('someone');
  const isKnown = !item.own && item.from && !nameFault(item.from) && item.kind !== 'user';
  // Out of the tab order: with the keyboard the same is done in "To", which offers these names.
  const who = isKnown ? el('button', { type: 'button', tabIndex: -1, className: 'who',
    title: t('writeTo', { who: from }) }) : el('span', { className: 'who' });
  who.append(el('bdi', {}, item.own ? t('you') : from));
  if (isKnown) who.addEventListener('click', () => { show(talk('user', item.from)); focusText(); });
  return el('div', { className: 'by' }, who, time);
}

function drawText(item) {
  const whole = item.cut ? item.text + t('cut') : item.text;
  const text = el('p', { className: `text ${item.raw ? 'raw' : ''}`, dir: 'auto' },
    whole.slice(0, SHOWN_MAX));
  if (whole.length > SHOWN_MAX) {
    const words = t('more', { n: whole.length });
    const more = el('button', { type: 'button', className: 'more' }, words);
    more.addEventListener('click', () => { text.textContent = whole; });
    text.append('…', more);
  }
  return text;
}

const ICONS = { pending: 'clock', ok: 'tick', got: 'ticks' };

function drawStatus(item) {
  const node = item.statusNode;
  if (!node) return;
  const { status } = item;
  node.replaceChildren();
  node.className = `status ${status}`;
  node.title = '';
  if (ICONS[status]) {
    node.append(icon(ICONS[status], 'tick'), el('span', { className: 'sr' }, t(status)));
    node.title = t(status);
  } else {
    node.append(el('span', {}, status === 'unsure' ? t('unsure') : t(item.why, item.values)));
    const again = el('button', { type: 'button' }, t('resend'));
    again.addEventListener('click', () => { view.resend(item); focusText(); });
    node.append(again);
  }
  if (isStuck && item.talk === open()) toEnd();
}

function atEnd() {
  const log = $('log');
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

function toEnd() {
  $('log').scrollTop = $('log').scrollHeight;
  isStuck = true;
  $('jump').hidden = true;
}

// ---- the conversation on the screen -------------------------------------------------------------

/** Opens a conversation, with its own draft: what was meant for one never moves to all. */
export function show(c) {
  const before = open();
  if (before) {
    before.draft = $('text').value;
    for (const item of before.items) item.nodes = item.statusNode = null;
  }
  view.open = c;
  c.unread = 0;
  if (before && talks.has(before.key)) refreshButton(before);
  refreshButton(c);
  const log = $('log');
  log.setAttribute('aria-live', 'off'); // a conversation read before is not news
  log.replaceChildren();
  paintLog();
  log.querySelectorAll('.new').forEach((node) => node.classList.remove('new'));
  toEnd();
  setTimeout(() => log.setAttribute('aria-live', 'polite'), 300);
  $('text').value = c.draft;
  fitText();
  paintHead();
  paintTitle();
  c.button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

export function paintHead() {
  const c = open();
  const who = label(c);
  const isAlone = c.kind === 'user';
  const isAll = !isAlone && c.name === '*';
  const isIn = isAlone || isAll || view.isMember(c.name);
  $('talk').dataset.kind = c.kind;
  $('face').replaceWith(Object.assign(face(c.name, c.kind), { id: 'face' }));
  $('title').replaceChildren(el('bdi', {}, who));
  const sub = isAlone ? 'subUser' : isAll ? 'subAll' : isIn ? 'subGroup' : 'subLeft';
  $('sub').replaceChildren(icon(isAlone ? 'lock' : 'all'), el('span', {}, t(sub, { who })));
  $('back').hidden = !isAlone;
  $('part').hidden = isAlone || isAll;
  $('part').textContent = t(isIn ? 'part' : 'join');
  $('part').setAttribute('aria-label', t(isIn ? 'leaveGroup' : 'joinGroup', { who }));
  $('log').setAttribute('aria-label', t(isAlone || isAll ? 'log' : 'logGroup', { who }));
  $('to').value = isAlone ? c.name : '';
  $('to').placeholder = t('toAll', { who });
  $('to').removeAttribute('aria-invalid');
  $('text').placeholder = t(isAlone ? 'writeUser' : 'writeAll', { who });
  $('text').setAttribute('aria-label', $('text').placeholder);
  $('send').setAttribute('aria-label', t(isAlone ? 'sendUser' : 'sendAll', { who }));
  $('send').title = $('send').getAttribute('aria-label');
  $('hint').textContent = '';
}

export function focusText() {
  // On a touch screen focus would open the keyboard over what was asked for.
  if (matchMedia('(hover: hover)').matches || document.activeElement === $('to')) $('text').focus();
}

export function fitText() {
  if (CSS.supports('field-sizing', 'content')) return;
  $('text').style.height = 'auto';
  $('text').style.height = `${$('text').scrollHeight}px`;
}

/** Puts every word of the page into the language; the peers' words are theirs. */
export function speak() {
  document.documentElement.lang = locale();
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll('[data-switch]')) {
    node.textContent = t('other');
    node.lang = t('otherLang');
  }
  for (const id of ['leave', 'back']) {
    $(id).setAttribute('aria-label', t(id));
    $(id).title = t(id);
  }
  $('leave').lastElementChild.textContent = t('leave');
  $('nav').setAttribute('aria-label', t('nav'));
  $('jump').textContent = t('jump');
  if (open()) { talks.forEach(refreshButton); show(open()); }
}

$('jump').addEventListener('click', () => { toEnd(); $('log').focus(); });
$('log').addEventListener('scroll', () => {
  isStuck = atEnd();
  if (isStuck) $('jump').hidden = true;
});
new ResizeObserver(() => { if (isStuck) toEnd(); }).observe($('stage'));
document.addEventListener('visibilitychange', () => {
  if (document.hidden || !open()) return;
  open().unread = 0;
  refreshButton(open());
  paintTitle();
  paintSoon();
});
