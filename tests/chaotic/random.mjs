/**
 * Random numbers from a seed: the same decisions in the same order for the same seed. (What comes
 * of them also depends on when processes run, which no seed decides.)
 */

export class Random {
  #state;

  /** @param {string} seed any text; another text is another stream of numbers */
  constructor(seed) {
    // FNV-1a, then a few rounds so that similar texts begin differently.
    let hash = 0x811c9dc5;
    for (const byte of Buffer.from(seed)) hash = Math.imul(hash ^ byte, 0x01000193);
    this.#state = hash;
    for (let round = 0; round < 8; round += 1) this.float();
  }

  /** From 0 to below 1 (mulberry32). */
  float() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  below(end) { return Math.floor(this.float() * end); }

  between(least, most) { return least + this.float() * (most - least); }

  /** As many small as large ones: for sizes and times that span orders of magnitude. */
  scaled(least, most) { return Math.exp(this.between(Math.log(least), Math.log(most))); }

  chance(probability) { return this.float() < probability; }

  pick(list) { return list[this.below(list.length)]; }

  /** `{ name: weight, … }` to a name. */
  weighted(weights) {
    const entries = Object.entries(weights);
    let at = this.float() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      at -= weight;
      if (at < 0) return name;
    }
    return entries.at(-1)[0];
  }
}
