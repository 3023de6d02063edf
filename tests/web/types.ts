// What TypeScript has to accept, and (below the comments that say so) to refuse.

import { connect, memoryStorage, SwitchboardError } from 'switchboard-client';
import type { Accepted, Gap, Message, Switchboard } from 'switchboard-client';

const chat: Switchboard = connect('wss://host/', {
  user: 'bob', token: async () => 'secret', client: 'kiosk', storage: memoryStorage(),
  groups: ['team'], live: true, WebSocket,
});
connect('/', { storage: localStorage, locks: navigator.locks, tab: sessionStorage });

const sent: Promise<Accepted> = chat.send({ receiver: 'alice', content: { any: [1, null] } });
chat.send({ group: 'team', content: 'hi', echo: true, ttl: 0, receipt: true, ref: 17 });
sent.catch((error: unknown) => {
  if (error instanceof SwitchboardError) return [error.code.toFixed(), error.reason, error.kept];
  throw error;
});
const off: () => void = chat.on('message', async (message: Message) => message.content.text);
chat.on('gap', (gap: Gap) => (gap.dropped === undefined ? gap.until - gap.after : gap.dropped));
chat.on('state', ({ state, after }) => state === 'waiting' && after);
chat.on('presence', ({ joined }) => joined.length);
chat.on('receipt', ({ mid }) => mid.split(':'));
chat.on('settled', ({ message, error }) => [message.ref, error?.uncertain]);
chat.join('team', { presence: true }).then(({ mid }) => mid);
chat.leave('team');
chat.pending.map(({ receiver }) => receiver?.length);
off();
chat.close();

// @ts-expect-error: to whom?
chat.send({ content: 1 });
// @ts-expect-error: to both
chat.send({ receiver: 'a', group: 'b', content: 1 });
// @ts-expect-error: no content
chat.send({ receiver: 'a' });
// @ts-expect-error: only 0 means anything
chat.send({ receiver: 'a', content: 1, ttl: 5 });
// @ts-expect-error: there is no such event
chat.on('massage', () => {});
// @ts-expect-error: it says, it is not told
chat.state = 'open';
