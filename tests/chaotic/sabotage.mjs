/**
 * What a broken server or client would leave in the journals: to show that the accounts notice.
 * Each takes the devices of a round and gives back devices of which one was told something else.
 */

/** Replaces the events of one device, chosen by `pick`, by what `change` makes of them. */
function tamper(devices, pick, change) {
  const victim = devices.find((device) => pick(device.events) >= 0);
  if (!victim) return devices;
  const at = pick(victim.events);
  return devices.map((device) => {
    return device === victim ? { ...device, events: change([...device.events], at) } : device;
  });
}

const isLogged = ({ e, seq }) => e === 'msg' && seq !== undefined;
const theTenth = (events) => events.findIndex((event, at) => {
  return isLogged(event) && events.slice(0, at).filter(isLogged).length === 9;
});
/** Two of one sender, the second right after the first. */
const twins = (events) => events.findIndex((event, at) => {
  const next = events[at + 1];
  return isLogged(event) && next && isLogged(next) && event.d === next.d && event.k < next.k;
});
const refusal = (events) => events.findIndex(({ e, reason }) => e === 'error' && reason);

export const SABOTAGE = {
  /** One delivery never came. */
  drop: (devices) => tamper(devices, theTenth, (events, at) => {
    events.splice(at, 1);
    return events;
  }),
  /** One came twice, the second time at another place. */
  duplicate: (devices) => tamper(devices, theTenth, (events, at) => {
    const last = events.findLast(isLogged).seq;
    return [...events, { ...events[at], seq: last + 1 }];
  }),
  /** One came twice, at the same place. */
  repeat: (devices) => tamper(devices, theTenth, (events, at) => {
    events.splice(at, 0, events[at]);
    return events;
  }),
  /** Two of one sender came in the wrong order. */
  swap: (devices) => tamper(devices, twins, (events, at) => {
    const [first, second] = events.slice(at, at + 2);
    events.splice(at, 2, { ...second, seq: first.seq }, { ...first, seq: second.seq });
    return events;
  }),
  /** One was damaged on its way. */
  damage: (devices) => tamper(devices, theTenth, (events, at) => {
    events[at] = { ...events[at], isBroken: true };
    return events;
  }),
  /** What was refused is told to have been accepted. */
  lie: (devices) => tamper(devices, refusal, (events, at) => {
    const { t, k } = events[at];
    const to = devices[0].user;
    events = events.map((event) => {
      return event.e === 'intent' && event.k === k ? { e: 'intent', t, k, receiver: to } : event;
    });
    events[at] = { e: 'ok', t, k };
    return events;
  }),
  /** An answer never came. */
  silence: (devices) => tamper(devices, (events) => {
    const { k } = events.find(({ e }) => e === 'ok') ?? {};
    return k !== undefined && events.some((event) => event.e === 'queued' && event.k === k)
      ? events.findIndex(({ e }) => e === 'ok') : -1;
  }, (events, at) => {
    const { k } = events[at];
    return events.filter((event) => event.k !== k || event.e !== 'ok');
  }),
};
