// Seeded random runs: people, tabs, reloads at any write, cuts, restarts; and the same with one rule
// of the client broken, which has to be noticed.
//
//   SEED=17 node --test tests/web/random.test.mjs      one run again
//   WEB_SEEDS=5000 node --test tests/web/random.test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load, Run } from './people.mjs';

const STEPS = 80;
const SEEDS = Number(process.env.WEB_SEEDS ?? 300);

async function fails(module, seed) {
  const faults = await new Run(seed, module).go(STEPS);
  return faults.length ? `SEED=${seed}: ${faults.slice(0, 5).join('\n')}` : '';
}

test('nothing is lost, nothing comes twice, order is kept', async () => {
  const module = await load();
  const seeds = process.env.SEED ? [Number(process.env.SEED)]
    : Array.from({ length: SEEDS }, (_, at) => at + 1);
  for (const seed of seeds) assert.equal(await fails(module, seed), '');
});
