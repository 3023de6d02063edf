// The package: what npm packs, how small it is, its types, its promises.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const SOURCE = fileURLToPath(new URL('../../src/web/', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const MODULES = process.env.WEB_MODULES;
const BYTES_MAX = 5_000;
const module = join(SOURCE, 'switchboard.js');
const skip = MODULES ? false : 'tests/web/run says where what it needs is';

/** Runs a tool that is below target/. */
const run = (tool, ...args) => execFileSync(join(MODULES, 'node_modules/.bin', tool), args,
  { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

test('it is under 5,000 bytes minified and compressed', { skip }, (t) => {
  for (const [tool, args] of [
    ['esbuild', [module, '--minify']],
    ['terser', [module, '--module', '--compress', 'passes=2', '--mangle']],
  ]) {
    const text = run(tool, ...args);
    const { length } = gzipSync(text, { level: 9 });
    t.diagnostic(`${tool}: ${text.length} bytes, ${length} compressed`);
    assert.ok(length < BYTES_MAX, `${tool}: ${length}`);
  }
});

test('npm packs four files and the licences, which need nothing else', () => {
  const [{ files, name }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'],
    { cwd: SOURCE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  assert.equal(name, 'switchboard-client');
  assert.deepEqual(files.map(({ path }) => path).sort(), ['LICENSE-APACHE', 'LICENSE-MIT',
    'README.md', 'package.json', 'switchboard.d.ts', 'switchboard.js']);
  for (const { path, size } of files.filter(({ path: name }) => name.startsWith('LICENSE'))) {
    assert.equal(size, statSync(join(SOURCE, '../..', path)).size, path);
    assert.ok(!existsSync(join(SOURCE, path)), 'the copy is gone again');
  }
  const readme = readFileSync(join(SOURCE, 'README.md'), 'utf8');
  for (const [, link] of readme.matchAll(/\]\(([^)]+)\)/g)) {
    assert.ok(files.some(({ path }) => path === link), `${link} leads nowhere in the package`);
  }
  const text = JSON.parse(readFileSync(join(SOURCE, 'package.json')));
  for (const key of ['dependencies', 'peerDependencies', 'bin', 'private']) {
    assert.equal(text[key], undefined, key);
  }
  assert.deepEqual(Object.keys(text.scripts), ['prepack', 'postpack'], 'none at who installs it');
  const cargo = readFileSync(join(SOURCE, '../../Cargo.toml'), 'utf8');
  assert.equal(text.version, /^version = "(.*)"$/m.exec(cargo)[1], 'client and server have one version');
  assert.deepEqual([text.type, text.exports['.'].default, text.exports['.'].types],
    ['module', './switchboard.js', './switchboard.d.ts']);
  const code = readFileSync(module, 'utf8').replace(/^ \*.*$/gm, '');
  assert.doesNotMatch(code, /^import |import\(|require\(/m);
});

test('its types hold, and are those of the module', { skip }, async () => {
  const project = join(MODULES, 'types');
  rmSync(project, { recursive: true, force: true });
  mkdirSync(join(project, 'node_modules'), { recursive: true });
  cpSync(SOURCE, join(project, 'node_modules/switchboard-client'), { recursive: true });
  cpSync(join(HERE, 'types.ts'), join(project, 'types.ts'));
  try {
    run('tsc', '--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', '',
      '--lib', 'es2022,dom', join(project, 'types.ts'));
  } catch (error) {
    assert.fail(error.stdout);
  }
  const types = readFileSync(join(SOURCE, 'switchboard.d.ts'), 'utf8');
  const exports = await import(module);
  for (const name of Object.keys(exports)) {
    assert.match(types, new RegExp(`export (function|class) ${name}\\b`));
  }
  const [, interface_] = /export interface Switchboard \{([^]*?)\n\}/.exec(types);
  const chat = exports.connect('ws://localhost', { WebSocket: class { close() {} } });
  for (const [, name] of interface_.matchAll(/^ {2}(?:readonly )?(\w+)/gm)) {
    assert.ok(name in chat, name);
  }
  chat.close();
});

test('a bundler takes it', { skip }, () => {
  const text = run('esbuild', module, '--bundle', '--format=esm', '--target=es2022');
  assert.match(text, /export \{/);
});

