// People with browsers, whose tabs keep what they saw, and what they may expect of it.
//
//   Person -- Device -- Tab (page, client, history)      history survives reloads, as a page's may
//
// The judge knows the whole truth: what the server did, and what each tab was told.

import { Line, Server } from './server.mjs';
import { Device, load, Page, settle, World } from './world.mjs';

const GROUP = 'g';

class Tab {
  constructor(run, person, page) {
    Object.assign(this, { run, person, page, history: new Map(), gaps: [], names: new Set() });
    this.base = Infinity; // from where on this tab is promised everything
    this.lastHandled = null; // what a crash may repeat
  }

  open() {
    const { run, person, page } = this;
    const chat = run.connect('wss://chat.example/', {
      user: person.name, storage: page.storage, locks: page.locks, tab: page.tab, groups: [GROUP],
      WebSocket: run.socketsOf(this, page),
    });
    this.chat = chat;
    page.onCrash = () => { this.mayRepeat = this.lastHandled; };
    chat.on('message', (event) => {
      if (page.isDead) return undefined;
      // Some take their time, and some of those wait until the server has what they say.
      const kind = run.chance.below(8);
      if (kind > 1) return this.handle(event);
      const work = kind ? new Promise((resolve) => { setTimeout(resolve, 400); })
        : chat.send({ receiver: person.name, content: run.token(this) }).catch(() => {});
      return work.then(() => { if (!page.isDead) this.handle(event); });
    });
    chat.on('gap', (gap) => { if (!page.isDead) this.gaps.push(gap); });
    chat.on('error', (error) => {
      if (!page.isDead) run.wrong(`error: ${error.stack} ${error.cause?.stack}`);
    });
    chat.on('settled', ({ message, error }) => {
      if (!page.isDead) run.settled(message.content.token, error);
    });
  }

  handle({ epoch, seq, content: { token } }) {
    if (this.history.has(token) && this.mayRepeat !== token) this.run.wrong(`twice: ${token}`);
    this.history.set(token, { epoch, seq });
    this.person.seen.add(`${epoch} ${token}`);
    this.lastHandled = token;
  }

  /** What the network hands to the client. */
  hears({ type, epoch, seq, resumed, gap }) {
    if (type !== 'welcome') return;
    this.names.add(this.chat.client);
    this.epoch = epoch;
    if (resumed) {
      if (this.base === Infinity) this.base = seq; // goes on for a tab that was closed
      return;
    }
    if (gap) this.announced = { gap, page: this.page };
    this.base = seq;
  }

  reload() {
    this.page = this.page.reload();
    this.open();
  }
}

export class Run {
  constructor(seed, module) {
    this.seed = seed;
    this.connect = module.connect;
    this.world = new World(seed);
    this.chance = this.world.random;
    this.server = new Server(this.world, { logMax: this.chance.pick([6, 1000]) });
    this.people = ['bob', 'alice'].map((name) => ({
      name, device: new Device(), tabs: [], seen: new Set(), // by any tab, also closed ones
    }));
    this.sent = new Map(); // token to { isSure, fate, client }
    this.lines = new Set();
    this.faults = [];
    this.tokens = 0;
  }

  wrong(what) { this.faults.push(what); }

  settled(token, error) {
    const message = this.sent.get(token);
    if (!error) message.fate = 'accepted';
    else if (!message.fate) message.fate = error.uncertain ? 'uncertain' : error.reason;
  }

  socketsOf(tab, page) {
    const run = this;
    return class {
      constructor() {
        if (page.isDead || run.isOffline) {
          if (!page.isDead) setTimeout(() => this.onclose?.({ code: 1006 }), 10);
          return;
        }
        this.line = new Line(run.world, run.server, {
          onmessage: (event) => {
            if (page.isDead || !this.onmessage) return;
            this.onmessage(event);
            if (tab.page === page) tab.hears(JSON.parse(event.data));
          },
          onclose: (event) => {
            if (page.isDead || !this.onclose) return;
            if (event.code === 4409) run.wrong('replaced by its own past');
            this.onclose(event);
          },
        });
        this.line.page = page;
        run.lines.add(this.line);
        setTimeout(() => page.isDead || this.onopen?.(), 1 + run.chance.below(30));
      }

      send(text) { if (!page.isDead) this.line?.up(text); }

      close() { this.line?.leave(); }
    };
  }

  /** A new tab, or a copy of one, of what it has shown too. */
  openTab(person, like) {
    const tab = new Tab(this, person, like ? like.page.duplicate() : new Page(person.device));
    if (like) {
      const { history, gaps, names, base, epoch, mayRepeat } = like;
      Object.assign(tab, { base, epoch, mayRepeat, gaps: [...gaps] });
      tab.history = new Map(history);
      tab.names = new Set(names);
    }
    person.tabs.push(tab);
    tab.open();
  }

  /** The next content that a tab sends. */
  token(tab, isBad = false) {
    this.tokens += 1;
    this.sent.set(this.tokens, { tab, isSure: false });
    return { token: this.tokens, isBad };
  }

  send(tab) {
    const { token } = this.token(tab);
    const to = this.chance.below(3) === 0 ? { group: GROUP }
      : { receiver: this.chance.pick(this.people).name };
    const message = this.sent.get(token);
    const { page } = tab;
    const content = { token, isBad: this.chance.below(12) === 0 };
    const early = !tab.chat.client; // not stored before the page knows its slot
    tab.chat.send({ ...to, content }).catch(() => {});
    message.isSure = !page.isDead && !early;
  }

  /** One thing happens. */
  async step() {
    const { chance, server } = this;
    const person = chance.pick(this.people);
    const tab = person.tabs.length ? chance.pick(person.tabs) : null;
    const lines = [...this.lines].filter((line) => !line.isCut);
    const roll = chance.below(100);
    if (!tab || (roll < 3 && person.tabs.length < 3)) this.openTab(person);
    else if (tab.page.isDead) tab.reload();
    else if (roll < 45) for (let n = chance.below(4); n >= 0; n -= 1) this.send(tab);
    else if (roll < 55) {
      const isCrashLate = chance.below(2) === 0;
      Object.assign(tab.page, { crashIn: 1 + chance.below(12), isCrashLate });
    } else if (roll < 60) this.end(tab);
    else if (roll < 63 && person.tabs.length < 3) this.openTab(person, tab);
    else if (roll < 65) {
      this.end(tab);
      person.tabs.splice(person.tabs.indexOf(tab), 1);
    } else if (roll < 76 && lines.length) {
      chance.pick(lines).cut({ isLate: chance.below(2) === 0, isSilent: chance.below(5) === 0 });
    } else if (roll < 80) server.busy = chance.below(3);
    else if (roll < 82) server.stop({ keepsStore: chance.below(3) > 0 });
    else if (roll < 86) this.isOffline = !this.isOffline;
    else if (roll < 88 && server.lines.size) chance.pick([...server.lines]).isSlow = true;
    else if (roll < 91) this.hurry();
    else if (roll < 93) await this.world.happen(chance.pick(['online', 'pageshow']));
    await this.world.pass(chance.pick([0, 5, 50, 300, 2_000, 40_000]));
  }

  /** The page goes away; what it had on its way may still arrive. */
  end(tab) {
    if (tab.page.isDead) return;
    tab.page.die();
    for (const line of this.lines) {
      if (line.page === tab.page) line.cut({ isLate: this.chance.below(2) === 0, isSilent: true });
    }
  }

  /** Slow connections catch up. */
  hurry() {
    for (const line of this.server.lines) line.isSlow = false;
    for (const user of this.server.users.values()) this.server.deliver(user);
  }

  /** Everything works again for long enough. */
  async calm() {
    this.isOffline = false;
    this.server.busy = 0;
    for (const person of this.people) {
      if (!person.tabs.length) this.openTab(person);
      for (const tab of person.tabs) {
        tab.page.crashIn = Infinity;
        if (tab.page.isDead) tab.reload();
      }
    }
    for (let n = 0; n < 10; n += 1) {
      this.hurry();
      this.server.ping();
      await this.world.pass(20_000);
    }
  }

  judge() {
    for (const person of this.people) {
      const { device } = person;
      for (const tab of person.tabs) this.judgeTab(person, tab);
      for (const [key, text] of device.map) {
        const [, slot, place] = /^(.*:\d+):(\d+)$/.exec(key) ?? [];
        // A crash may leave one that is settled, which the next one that is settled takes along.
        const isLeft = slot && text && place >= JSON.parse(device.map.get(slot)).head;
        if (isLeft) this.wrong(`left in the outbox: ${key} ${text}`);
      }
    }
    const times = new Map();
    const order = new Map();
    for (const { epoch, token, client } of this.server.applied) {
      const key = `${epoch} ${token}`;
      if (times.has(key)) this.wrong(`took effect twice: ${token}`);
      // What one tab sent under one name; another may have had the name before.
      const { tab } = this.sent.get(token);
      const before = order.get(tab)?.[client] ?? 0;
      if (!times.has(token) && before > token) this.wrong(`out of order: ${token}`);
      order.set(tab, { ...order.get(tab), [client]: Math.max(token, before) });
      times.set(key, 1).set(token, 1);
    }
    for (const [token, { isSure, fate }] of this.sent) {
      if (isSure && !fate && !times.has(token)) this.wrong(`never sent: ${token}`);
      if (fate === 'accepted' && !times.has(token)) this.wrong(`without effect: ${token}`);
      if (fate === 'uncertain') this.wrong(`uncertain without need: ${token}`);
      if (fate === 'not_a_member') this.wrong(`not a member: ${token}`);
    }
  }

  judgeTab({ name, seen }, tab) {
    const { all } = this.server.user(name);
    if (tab.epoch !== this.server.epoch) this.wrong('a tab that is not there');
    for (const { seq, client, user, frame } of all) {
      const isOwn = user.name === name && tab.names.has(client);
      const isCovered = tab.gaps.some(({ after, until }) => after < seq && seq <= until);
      const { token } = frame.content;
      // Sent again in a later epoch, and seen before by a tab that this one goes on for.
      const isAgain = [...seen].some((one) => one.endsWith(` ${token}`)
        && one !== `${this.server.epoch} ${token}`);
      if (seq > tab.base && !isOwn && !isCovered && !isAgain && !tab.history.has(token)) {
        this.wrong(`lost: ${token} (seq ${seq})`);
      }
    }
    // A page that died of it may have stored it all the same.
    const { gap, page } = tab.announced ?? {};
    const isTold = ({ until, reason }) => until === gap.until && reason === gap.reason;
    if (page === tab.page && !tab.gaps.some(isTold)) this.wrong('a gap that nobody told');
    let before = 0;
    for (const { epoch, seq } of tab.history.values()) {
      if (epoch === this.server.epoch && seq < before) this.wrong(`out of order: seq ${seq}`);
      if (epoch === this.server.epoch) before = seq;
    }
  }

  /** The faults of it; the same for the same seed. */
  async go(steps) {
    this.world.install();
    try {
      for (let n = 0; n < steps && !this.faults.length; n += 1) await this.step();
      await this.calm();
      this.judge();
    } catch (error) {
      this.wrong(error.stack);
    } finally {
      this.world.restore();
      for (const { tabs } of this.people) for (const { chat } of tabs) chat.close();
      await settle();
    }
    return this.faults;
  }
}

export { load };
