/**
 * The chat page: the client at `/switchboard.js`, with hands and eyes.
 *
 *     composer -> chat.send -> pending -> ok -> got      each shown beside the message
 *     message, gap -> history (localStorage) -> conversation -> screen
 *
 * Groups take the place that rooms have in the plain dialect: the address `#tea` is the group
 * `tea`, without one it is the lobby. What is not sent yet is in the client's outbox, what was sent
 * or has come in the page's history; a message has one name in both, and is shown once.
 */

import { History } from './chat-history.js';
import {
  $, add, drop, find, fitText, focusText, forget, forgetAll, homeTalk, label, markTrimmed, news,
  paintHead, paintTitle, show, speak, talk, talks, update, view,
} from './chat-view.js';
import { isWord, keep, nameFault, recall, switchLanguage, t, tried } from './chat-words.js';
import { connect } from './switchboard.js';

const LOBBY = 'lobby';
const EARLY_MAX = 100; // receipts for messages whose `ok` has not come

const params = new URLSearchParams(location.search);
let me = '';
let chat = null;            // the client
let history = null;         // what is kept of earlier pages
let unwatch = () => {};
let groups = new Set();     // those this user is in
let state = 'offline';      // online, connecting, waiting, offline
let wasOnline = false;      // it is known that we may be here, from before a reload perhaps
let isRefused = false;      // the server is there, and does not say why not
let stopWhy = '';           // why it is over, or what there is to wait for
let retryAt = 0;
let attempts = 0;
const early = new Set();
let token = takeToken();

/** A token comes with the address and does not stay there, where others would see it. */
function takeToken() {
  const inHash = /(?:^#|&)token=([^&]*)&?/.exec(location.hash);
  const given = params.get('token') ?? (inHash && tried(() => decodeURIComponent(inHash[1])));
  if (given === null) return recall('sessionStorage', 'switchboard.token') ?? '';
  keep('sessionStorage', 'switchboard.token', given);
  params.delete('token');
  let hash = location.hash;
  if (inHash) hash = hash.replace(inHash[0], inHash[0].startsWith('#') ? '#' : '');
  rewrite(hash === '#' ? '' : hash);
  return given;
}

function rewrite(hash) {
  const search = `${params}` && `?${params}`;
  globalThis.history.replaceState(null, '', location.pathname + search + hash);
}

// ---- the connection -----------------------------------------------------------------------------

function start() {
  chat?.close();
  stopWhy = '';
  const c = chat = connect('./', { user: me, token: token || undefined, groups: [...groups] });
  // What a client says that was let go is not for us.
  const on = (type, act) => c.on(type, (event) => (c === chat ? act(event) : undefined));
  on('state', changed);
  on('message', heard);
  on('gap', missed);
  on('receipt', arrived);
  on('settled', settled);
  on('error', complained);
  setState('connecting');
  showOutbox(c);
}

/** What an earlier page left in the outbox, once the client has opened it. */
function showOutbox(c) {
  if (c !== chat) return;
  if (c.client === undefined) setTimeout(showOutbox, 20, c);
  else c.pending.filter(({ ref }) => ref && !find(ref.name)).forEach(showOwn);
}

function changed({ state: now, code, reason, after }) {
  if (now === 'open') {
    wasOnline = true;
    keep('sessionStorage', 'switchboard.online', me);
    isRefused = false;
    stopWhy = '';
    setState('online');
  } else if (now === 'connecting') {
    setState('connecting');
  } else if (now === 'waiting') {
    const isUnanswered = code === 1006 && state === 'connecting';
    retryAt = Date.now() + after;
    stopWhy = isWord(`c${code}`) ? `${t(`c${code}`)} ${t('waits')}` : '';
    setState('waiting');
    if (isUnanswered) lookForServer(attempts += 1);
  } else if (now === 'refused') {
    stop(code, reason);
  }
}

function stop(code, reason) {
  stopWhy = reason === 'taken' ? t('taken')
    : (isWord(`c${code}`) ? t(`c${code}`) : t('ended', { code: `${code}` }))
      + (reason ? ` (\u2068${reason}\u2069)` : '');
  setState('offline');
  if (code === 4401) { // signing in again is done at the door
    $('ask').hidden = false;
    token = '';
    keep('sessionStorage', 'switchboard.token', '');
  }
  if (!wasOnline || code === 4401) door(stopWhy);
}

// A browser does not tell why a handshake failed. Whether the server answers at all can be seen.
async function lookForServer(attempt) {
  const signal = AbortSignal.timeout(5_000);
  const isThere = await fetch('./', { method: 'HEAD', cache: 'no-store', signal })
    .then(({ ok }) => ok, () => false);
  if (attempt !== attempts || state === 'online' || !me) return;
  isRefused = isThere;
  if (isThere && !wasOnline) door(t('refusedUser', { who: me }));
  else paintState();
}

function setState(next) {
  state = next;
  paintState();
}

const putText = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

function paintState() {
  $('pill').dataset.state = state;
  const isWaiting = state === 'waiting' && navigator.onLine;
  putText('state', t(state === 'waiting' && !isWaiting ? 'noNetwork' : state));
  const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  putText('count', isWaiting ? t('inSeconds', { n: left }) : '');
  $('away').hidden = !(state === 'waiting' || state === 'offline'
    || (state === 'connecting' && wasOnline));
  $('away').classList.toggle('stopped', state === 'offline');
  putText('why', stopWhy || (isRefused ? t('refusedUser', { who: me }) : t('away')));
  putText('when', state === 'waiting' ? t('nextTry', { n: left })
    : state === 'connecting' ? t('tryingNow') : '');
  putText('now', t(state === 'offline' ? 'again' : 'now'));
  $('send').setAttribute('aria-disabled', state === 'offline');
  if (state === 'online' && $('hint').textContent === t('keep')) $('hint').textContent = '';
  $('me').textContent = me;
}

function complained(error) {
  if (!error.reason) console.error(error);
  const reason = error.reason ?? `${error}`;
  $('hint').textContent = t(error.reason ? 'fault' : 'broken', { reason });
}

// ---- messages -----------------------------------------------------------------------------------

/** Sends to the conversation. False: it is over here, and nothing happened. */
function post(c, text) {
  if (state === 'offline') {
    $('hint').textContent = t('keep');
    return false;
  }
  const { at } = history.place({});
  const ref = { name: `own ${at} ${Math.random().toString(36).slice(2)}`, at };
  const to = c.kind === 'user' ? { receiver: c.name, receipt: true } : { group: c.name };
  // With `echo` it comes back with its number: so it has the same place in every window.
  const message = { ...to, content: text, echo: true, ref };
  showOwn(message);
  // What `settled` tells it has told already; not what never came into the outbox.
  chat.send(message).catch((error) => { if (!error.kept) settled({ message, error }); });
  return true;
}

const placeOf = ({ receiver, group }) => (group === undefined
  ? { kind: 'user', to: receiver } : { kind: 'group', to: group });

const wording = (content) => (typeof content === 'string' ? { text: content }
  : { text: JSON.stringify(content), raw: true });

/** Shows a message that is in the outbox. */
function showOwn(message) {
  const { name, at } = message.ref ?? { name: `own ${Math.random()}` };
  const item = { name, at, ...placeOf(message), ...wording(message.content), from: me, own: true,
    status: 'pending' };
  add(history.place(item));
  return item;
}

function settled({ message, result, error }) {
  const before = find(message.ref?.name);
  if (before && before.status !== 'pending') return;
  const name = result && `${me} ${result.mid}`;
  if (find(name)) { // its copy came before the answer
    if (before) drop(before);
    return;
  }
  const item = before ?? showOwn(message);
  const status = result ? (early.delete(result.mid) ? 'got' : 'ok')
    : error.uncertain ? 'unsure' : 'failed';
  const change = { status, name: name ?? item.name, epoch: undefined, seq: undefined };
  if (error) Object.assign(change, failure(item, error));
  update(item, change, (placed) => history.place(placed));
  history.put(item);
}

function failure(item, { reason, code, missing = '' }) {
  const values = { who: label({ kind: item.kind, name: item.to }), code: `${code ?? ''}`,
    reason: `${reason ?? ''}`, missing };
  const why = isWord(reason) ? reason : 'refused';
  news(t(why, values));
  return { why, values };
}

function resend(item) {
  const c = item.talk;
  if (!post(c, item.text)) return;
  history.remove(item.name);
  drop(item);
}

/** A message for this user, or a copy of one that was sent in another window. */
function heard(frame) {
  const { sender, mid, seq, epoch } = frame;
  const own = sender === me;
  const name = mid ? `${sender} ${mid}` : seq ? `${epoch} ${seq}` : `live ${Math.random()}`;
  const place = placeOf(own ? frame : { receiver: sender, group: frame.group });
  const here = find(name) ?? (own ? unanswered(place, frame) : undefined);
  if (here) {
    if (here.name === name && isExact(here)) return;
    const status = here.status === 'pending' ? 'ok' : here.status;
    update(here, { name, epoch, seq, status }, (placed) => history.place(placed));
    history.put(here);
    return;
  }
  if (history.has(name)) return;
  if (seq && history.isForgotten(frame)) {
    if (talks.has(`${place.kind} ${place.to}`)) markTrimmed(talk(place.kind, place.to));
    return;
  }
  const item = { name, ...place, ...wording(frame.content), from: sender, own, epoch, seq,
    status: own ? 'ok' : undefined };
  add(history.place(item), true);
  if (mid || seq) history.put(item);
}

// The server's number is exact; until one's own message has come back it has a place by guess.
const isExact = ({ seq }) => Number.isInteger(seq);

/** What came back before its `ok`: frames have an order, so it is the first that says the same. */
function unanswered({ kind, to }, { mid, content }) {
  if (!mid?.startsWith(`${chat.client}:`)) return undefined;
  return talk(kind, to).items.find(({ status, text }) =>
    status === 'pending' && text === wording(content).text);
}

function missed({ after, until, reason, dropped }) {
  if (reason === 'ahead') history.restart();
  if (reason === 'overflow' && after === 0) { // this client is new
    if (history.reaches(until)) return; // another window has shown it
    if (!history.reaches(1)) { // this browser, too
      markTrimmed(homeTalk());
      return;
    }
  }
  const item = history.place({ name: `gap ${Math.random()}`, note: dropped ? 'dropped' : reason,
    values: { n: dropped }, warn: true });
  if (add(item)) history.put(item);
}

function arrived({ mid }) {
  const item = find(`${me} ${mid}`);
  if (item) {
    update(item, { status: 'got' });
    history.put(item);
  } else if (early.size < EARLY_MAX) {
    early.add(mid);
  }
}

// ---- what other windows of this user do ---------------------------------------------------------

// Each window knows as much as the one that knows most. All of this only grows, so it ends.
const STEPS = ['pending', 'unsure', 'failed', 'ok', 'got'];

const others = {
  put(item) {
    const here = find(item.name);
    if (!here) {
      if (!item.note) add(item, true);
      return;
    }
    const step = STEPS.indexOf(item.status) - STEPS.indexOf(here.status);
    const exact = isExact(item) - isExact(here);
    const { status, epoch, since, seq } = item;
    update(here, { ...step > 0 && { status }, ...exact > 0 && { epoch, since, seq } });
    // Two windows wrote at once, and the one that knew less was later.
    if (step < 0 || exact < 0) history.put(here);
  },
  gone(name) {
    const here = find(name);
    if (here?.status === 'failed' || here?.status === 'unsure') drop(here);
  },
  groups(now) {
    for (const name of groups) if (!now.includes(name)) tellGroup('leave', name);
    for (const name of now) if (!groups.has(name)) tellGroup('join', name);
    groups = new Set(now);
    now.forEach((name) => talk('group', name));
    paintHead();
  },
};

// ---- groups -------------------------------------------------------------------------------------

function tellGroup(how, name) {
  chat[how](name).catch((error) => {
    if (error.kept) return;
    if (how === 'join') setGroup(name, false);
    $('hint').textContent = t('fault', { reason: error.missing ?? error.reason });
  });
}

function setGroup(name, isIn) {
  if (isIn) groups.add(name); else groups.delete(name);
  history.groups = [...groups];
  if (view.open) paintHead();
}

function join(name) {
  if (groups.has(name)) return;
  setGroup(name, true);
  tellGroup('join', name);
}

function part(c) {
  setGroup(c.name, false);
  tellGroup('leave', c.name);
  if (c.items.length || c.name === view.home) return;
  show(homeTalk());
  forget(c);
}

// ---- hands and keys -----------------------------------------------------------------------------

// Takes "To" at its word. False: no such name can exist.
function address() {
  const text = $('to').value.trim();
  if (text === (view.open.kind === 'user' ? view.open.name : '')) return true;
  const isGroup = text.startsWith('#');
  const name = isGroup ? text.slice(1) : text;
  const fault = text && nameFault(name);
  $('to').setAttribute('aria-invalid', Boolean(fault));
  $('hint').textContent = fault;
  if (fault) return false;
  if (isGroup) join(name);
  const next = !text ? homeTalk() : talk(isGroup ? 'group' : 'user', name);
  // Text follows its new address to one person; what was meant for one never moves to all.
  if (next.kind === 'user' && !next.draft) {
    next.draft = $('text').value;
    $('text').value = '';
  }
  show(next);
  return true;
}

function submit() {
  const before = view.open;
  if (!address()) {
    $('to').focus();
    return;
  }
  // "To" was changed to a group while text stood there: that text stays where it was written.
  if (before !== view.open && view.open.kind === 'group') return;
  const text = $('text').value;
  if (!text.trim() || !post(view.open, text)) return;
  $('text').value = '';
  $('hint').textContent = '';
  fitText();
}

function leaveTalk() {
  if (!view.open) return;
  if (view.open.kind === 'group') paintHead(); else show(homeTalk());
  focusText();
}

// Enter also chooses a word in an input method, where it must not send.
const isEnter = (event) => event.key === 'Enter' && !event.isComposing && event.keyCode !== 229;

$('composer').addEventListener('submit', (event) => { event.preventDefault(); submit(); });
$('text').addEventListener('keydown', (event) => {
  if (!isEnter(event) || event.shiftKey) return;
  event.preventDefault();
  submit();
});
$('text').addEventListener('input', () => { $('hint').textContent = ''; fitText(); });
$('to').addEventListener('keydown', (event) => {
  if (!isEnter(event)) return;
  event.preventDefault();
  if (address()) $('text').focus();
});
$('to').addEventListener('change', address);
$('add').firstElementChild.addEventListener('click', () => {
  if (view.open.kind === 'user') show(homeTalk());
  $('to').value = '#';
  $('to').focus();
  $('hint').textContent = t('groupHint');
});
$('back').addEventListener('click', leaveTalk);
$('part').addEventListener('click', () => {
  const c = view.open;
  if (groups.has(c.name)) part(c); else join(c.name);
  $('part').focus();
});
$('now').addEventListener('click', () => { start(); focusText(); });
$('leave').addEventListener('click', () => door(''));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing && event.keyCode !== 229) leaveTalk();
});
for (const node of document.querySelectorAll('[data-switch]')) {
  node.addEventListener('click', () => {
    switchLanguage();
    $('fault').textContent = '';
    speak();
    paintState();
  });
}
addEventListener('online', paintState);
addEventListener('offline', paintState);
setInterval(() => { if (state === 'waiting') paintState(); }, 250);

// ---- door and board -----------------------------------------------------------------------------

/** The group of the address: `#tea`, else `?room=tea`, else the lobby. */
function groupFromAddress() {
  const hash = location.hash.slice(1);
  const name = hash ? tried(() => decodeURIComponent(hash)) ?? hash : params.get('room') ?? '';
  return groupOf(name);
}

// `/tea` is what one would call the room of plain clients; the group is the same without a slash.
function groupOf(text) {
  const name = text.trim().replace(/^[/#]+/, '');
  return name && !nameFault(name) ? name : LOBBY;
}

/** Goes (back) to the choice of a name, and says why if there is a why. */
function door(why) {
  unwatch();
  const before = chat;
  chat = null;
  before?.close();
  if (!$('board').hidden) {
    params.delete('user'); // else a reload would go straight back in
    rewrite(location.hash);
    keep('sessionStorage', 'switchboard.stay', '');
    keep('sessionStorage', 'switchboard.online', '');
  }
  forgetAll();
  early.clear();
  $('text').value = '';
  state = 'offline';
  wasOnline = isRefused = false;
  attempts += 1;
  $('board').hidden = true;
  $('door').hidden = false;
  $('fault').textContent = why;
  $('name').setAttribute('aria-invalid', Boolean(why));
  $('name').value = me || recall('sessionStorage', 'switchboard.name') || '';
  $('room').value = view.home === LOBBY ? '' : view.home;
  me = view.me = '';
  paintTitle();
  const next = why && !$('ask').hidden && $('name').value ? $('token') : $('name');
  next.focus();
  next.select();
}

function enter(name) {
  me = view.me = name;
  // Per tab: two windows may be two users.
  keep('sessionStorage', 'switchboard.name', name);
  keep('sessionStorage', 'switchboard.stay', 'yes');
  wasOnline = recall('sessionStorage', 'switchboard.online') === name;
  $('door').hidden = true;
  $('board').hidden = false;
  history = new History(name);
  view.compare = (a, b) => history.compare(a, b);
  const kept = history.load();
  groups = new Set(history.groups);
  homeTalk();
  groups.forEach((group) => talk('group', group));
  kept.filter((item) => !item.note).forEach((item) => add(item));
  kept.filter((item) => item.note).forEach((item) => add(item));
  unwatch = history.watch(others);
  groups.delete(view.home); // asked for by itself, so that a refusal is heard of
  show(homeTalk());
  start();
  join(view.home);
  focusText();
}

$('door').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('name').value.trim();
  const fault = nameFault(name);
  $('fault').textContent = fault;
  $('name').setAttribute('aria-invalid', Boolean(fault));
  if (fault) {
    $('name').focus();
    return;
  }
  if (!$('ask').hidden) {
    token = $('token').value.trim();
    $('token').value = '';
    keep('sessionStorage', 'switchboard.token', token);
  }
  view.home = groupOf($('room').value);
  rewrite(view.home === LOBBY ? '' : `#${encodeURIComponent(view.home)}`);
  enter(name);
});

addEventListener('hashchange', () => {
  const name = groupFromAddress();
  if (name === view.home) return;
  view.home = name;
  if (!me) {
    $('room').value = name === LOBBY ? '' : name;
    return;
  }
  join(name);
  show(homeTalk());
});

Object.assign(view, { home: groupFromAddress(), isMember: (name) => groups.has(name), resend });
speak();
const given = params.get('user');
const isReloaded = performance.getEntriesByType('navigation')[0]?.type === 'reload';
const stayed = recall('sessionStorage', 'switchboard.stay') ? recall('sessionStorage',
  'switchboard.name') : null;
if (given !== null) {
  me = given;
  const fault = nameFault(given);
  if (fault) door(fault); else enter(given);
} else if (isReloaded && stayed) {
  enter(stayed);
} else {
  door('');
}
