// Who a browser is to a server that asks: by cookie, query, subprotocol entry and first message;
// and what a page is told where it is refused.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { BINARY, startServer } from './server.mjs';
import { Desk, launchBrowser, look, say, waitOnline, waitText } from './windows.mjs';

const ALICE = 's3cret-of-alice-0001', BOB = 's3cret-of-bob-000002';
const KEY = 's3cret-key-s3cret-key-s3cret-key-0';
// What Chromium itself prints where a handshake is refused, with the URL and all that is in it.
const REFUSED = /WebSocket connection to .* failed/;

let browser, folder, server, desk;
before(async () => {
  browser = await launchBrowser();
  folder = mkdtempSync(join(tmpdir(), 'switchboard-browser-'));
  const tokens = [{ token: ALICE, user: 'alice' }, { token: BOB, user: 'bob' }];
  writeFileSync(join(folder, 'tokens.json'), JSON.stringify({ tokens }), { mode: 0o600 });
  writeFileSync(join(folder, 'key'), KEY, { mode: 0o600 });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  server = await startWith(`tokens:${join(folder, 'tokens.json')}`);
  desk = new Desk(browser, server);
});
afterEach(async () => {
  await server.stop();
  assert.doesNotMatch(server.log(), /s3cret/, 'no token in the log');
});

// A server whose own page may bring a cookie: its origin has to be known before it is started.
async function startWith(auth) {
  const port = await freePort();
  const more = ['--auth', auth, '--auth-cookie', 'session', '--origin',
    `http://127.0.0.1:${port}`, '--log', 'trace'];
  return startServer({ port, more });
}

async function freePort() {
  const other = createServer();
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address();
  await new Promise((resolve) => other.close(resolve));
  return port;
}

const cookieOf = (token) => [{ name: 'session', value: token, domain: '127.0.0.1', path: '/' }];

// What a page's own script sees of a socket: each event until it is closed, or until `enough`
// messages came. `first` is sent when it opens.
function dial(page, target, { protocols = [], first = null, enough = 1 } = {}) {
  return page.evaluate(([url, protocols, first, enough]) => new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket(url, protocols);
    setTimeout(() => resolve([...seen, 'nothing more']), 20_000);
    socket.onopen = () => {
      seen.push(`open ${socket.protocol}`.trim());
      if (first) socket.send(first);
    };
    socket.onmessage = (event) => {
      seen.push(event.data);
      if (seen.filter((text) => text.startsWith('{')).length === enough) resolve(seen);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      seen.push(`close ${code} ${reason} ${wasClean ? 'clean' : 'unclean'}`);
      resolve(seen);
    };
  }), [server.webSocket + target, protocols, first, enough]);
}

const auth = (token) => JSON.stringify({ type: 'auth', token });
const PING = '{"type":"ping"}', PONG = '{"type":"pong"}';
const entry = (token) => `bearer.${Buffer.from(token).toString('base64url')}`;

test('a cookie says who a page is', async () => {
  const context = await desk.context({});
  await context.addCookies(cookieOf(ALICE));
  const alice = await desk.openAs('alice');
  await context.addCookies(cookieOf(BOB));
  const bob = await desk.openAs('bob');
  await say(alice, 'bob', 'by cookie');
  await look(bob, 'alice');
  await waitText(bob, 'by cookie');
  await desk.close();
});

test('a page of another origin cannot use the cookie', async () => {
  const other = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><title>another site</title>');
  });
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  const context = await browser.newContext();
  await context.addCookies(cookieOf(ALICE)); // cookies know no ports: this page has it, too
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${other.address().port}/`);
  assert.match(await page.evaluate(() => document.cookie), /session=/);
  assert.deepEqual(await dial(page, '/', { first: PING }), ['close 1006  unclean']);
  assert.deepEqual(await dial(page, `/?token=${ALICE}`), ['close 1006  unclean']);
  await page.goto(`${server.origin}/`);
  assert.deepEqual(await dial(page, '/', { first: PING }), ['open', PONG]);
  await context.close();
  other.close();
});

test('a token in the query, in an entry or in the first message says who a page is', async () => {
  const page = await desk.open('');
  assert.deepEqual(await dial(page, `/?token=${ALICE}`, { first: PING }), ['open', PONG]);
  const protocols = ['switchboard.plain', entry(ALICE)];
  assert.deepEqual(await dial(page, '/', { protocols, first: PING }),
    ['open switchboard.plain', PONG]);
  assert.deepEqual(await dial(page, '/', { first: auth(ALICE) }), ['open', '{"type":"ok"}']);
  await desk.close();
});

test('what a page sees where it is refused', async () => {
  const page = await desk.open('');
  // Before the upgrade a browser tells nothing.
  const nothing = ['close 1006  unclean'];
  assert.deepEqual(await dial(page, '/?token=s3cret-wrong'), nothing);
  assert.deepEqual(await dial(page, `/?token=${ALICE}&user=bob`), nothing);
  const protocols = ['switchboard.plain', entry('s3cret-wrong')];
  assert.deepEqual(await dial(page, '/', { protocols }), nothing);
  // After it the reason is seen twice.
  for (const [first, reason] of [
    [auth('s3cret-wrong'), 'token_refused'], ['hello', 'authentication_required'],
  ]) {
    assert.deepEqual(await dial(page, '/', { first, enough: 2 }), ['open',
      `{"type":"error","code":401,"reason":"${reason}"}`, `close 4401 ${reason} clean`]);
  }
  assert.deepEqual(await dial(page, '/?user=bob', { first: auth(ALICE), enough: 2 }), ['open',
    '{"type":"error","code":403,"reason":"wrong_user"}', 'close 4403 wrong_user clean']);
  await desk.close(REFUSED);
});

test('a token that ends is seen to end', async () => {
  await server.stop();
  server = await startWith(`jwt:hs256:${join(folder, 'key')}`);
  desk = new Desk(browser, server);
  const page = await desk.open('');
  // Last of all: whoever comes late, within the leeway, is closed a minute later.
  const args = ['token', '--user', 'alice', '--ttl', '4s', '--secret', join(folder, 'key')];
  const token = execFileSync(BINARY, args, { encoding: 'utf8' }).trim();
  assert.deepEqual(await dial(page, '/', { first: auth(token), enough: 2 }),
    ['open', '{"type":"ok"}', 'close 4401 token_expired clean']);
  assert.ok(!server.log().includes(token.split('.')[2]), 'no token in the log');
  await desk.close();
});

test('the chat page takes a token from its address, and keeps it from there', async () => {
  const alice = await desk.open(`?user=alice&token=${ALICE}#lobby`);
  await waitOnline(alice);
  assert.equal(alice.url(), `${server.origin}/?user=alice#lobby`);
  const bob = await desk.open(`?user=bob#token=${BOB}`); // this one no server ever sees
  await waitOnline(bob);
  assert.equal(bob.url(), `${server.origin}/?user=bob`);
  await say(alice, 'bob', 'by token');
  await look(bob, 'alice');
  await waitText(bob, 'by token');
  await alice.reload();
  await waitOnline(alice);
  await desk.close();
});

test('the chat page asks for a token where it is asked for one', async () => {
  const page = await desk.open('?user=alice');
  await page.locator('#fault', { hasText: 'You are not signed in.' }).waitFor();
  await page.fill('#token', 's3cret-wrong');
  await page.press('#token', 'Enter');
  await page.locator('#fault', { hasText: 'token_refused' }).waitFor();
  assert.equal(await page.inputValue('#token'), '');
  await page.fill('#token', BOB);
  await page.press('#token', 'Enter');
  await page.locator('#fault', { hasText: 'You are not allowed here.' }).waitFor();
  await page.fill('#token', ALICE);
  await page.press('#token', 'Enter');
  await waitOnline(page);
  await page.locator('#pill[data-state=online]').waitFor();
  assert.doesNotMatch(await page.content(), /s3cret/);
  await desk.close();
});

test('the chat page shows no field for a token where nobody asks for one', async () => {
  await server.stop();
  server = await startServer();
  desk = new Desk(browser, server);
  const page = await desk.open('');
  await page.locator('#name').waitFor();
  assert.equal(await page.locator('#token').isVisible(), false);
  const alice = await desk.open(`?user=alice&token=${ALICE}`);
  await waitOnline(alice);
  await desk.close();
});
