// What passes between browser and server: a proxy for TCP that reads the frames (RFC 6455 §5.2).
//
//   c1 64 f2 48 ...   server -> browser: FIN, RSV1, Text; 100 bytes, compressed
//
// It changes nothing, but may be cut; it knows neither who is connected nor what is said.

import { createServer, connect } from 'node:net';

// Listens on a port of its own for the server on `port`; what it is asked for goes there.
export async function startWire(port) {
  const lines = [];
  let isCut = false;
  const listener = createServer((browser) => {
    const server = connect(port, '127.0.0.1');
    const line = { toServer: [], toBrowser: [], sockets: [browser, server] };
    lines.push(line);
    for (const [from, to, bytes] of [[browser, server, line.toServer],
      [server, browser, line.toBrowser]]) {
      from.on('data', (chunk) => bytes.push(chunk));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
    browser.once('data', (head) => {
      line.isWebSocket = /^Upgrade: websocket/im.test(head);
      if (isCut && line.isWebSocket) end(line);
    });
  });
  await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
  const end = (line) => line.sockets.forEach((socket) => socket.destroy());
  const address = listener.address().port;
  const messages = (direction) => lines.flatMap((line) => dataFrames(Buffer.concat(
    line[direction])));
  return {
    port: address,
    origin: `http://127.0.0.1:${address}`,
    webSocket: `ws://127.0.0.1:${address}`,
    // The frames with data that have passed so far, of all connections.
    toServer: () => messages('toServer'),
    toBrowser: () => messages('toBrowser'),
    // No WebSocket passes until `mend`; pages do.
    cut() {
      isCut = true;
      lines.filter(({ isWebSocket }) => isWebSocket).forEach(end);
    },
    mend() { isCut = false; },
    stop() {
      listener.close();
      lines.forEach(end);
    },
  };
}

// The frames with data behind the head of an upgrade: whether RSV1 is set, and the payload.
function dataFrames(stream) {
  const end = stream.indexOf('\r\n\r\n');
  if (end < 0 || !/^Upgrade: websocket/im.test(stream.subarray(0, end))) return [];
  const frames = [];
  let place = end + 4;
  while (place + 2 <= stream.length) {
    const [first, second] = stream.subarray(place);
    const isMasked = (second & 0x80) !== 0;
    let length = second & 0x7f;
    place += 2;
    if (length === 126) { length = stream.readUInt16BE(place); place += 2; }
    else if (length === 127) { length = Number(stream.readBigUInt64BE(place)); place += 8; }
    const mask = isMasked ? stream.subarray(place, place + 4) : Buffer.alloc(4);
    place += isMasked ? 4 : 0;
    const payload = Buffer.from(stream.subarray(place, place + length));
    if (payload.length < length) break;
    for (let i = 0; i < length; i += 1) payload[i] ^= mask[i % 4];
    place += length;
    if ((first & 0x0f) < 0x8) frames.push({ isCompressed: (first & 0x40) !== 0, payload });
  }
  return frames;
}
