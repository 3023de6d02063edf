// Bun, whose WebSocket server is uWebSockets: `/`, `/room` and `/relay?user=NAME`, as `harness`
// describes them.
const users = new Map();

const handlers = {
  "/": { message: (socket, message) => socket.send(message) },
  "/room": {
    open: (socket) => socket.subscribe("room"),
    message: (socket, message) => socket.publish("room", message),
  },
  "/relay": {
    open: (socket) => users.set(socket.data.user, socket),
    message: (socket, message) => users.get(JSON.parse(message).receiver)?.send(message),
    close: (socket) => users.delete(socket.data.user),
  },
};

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(request, server) {
    const url = new URL(request.url);
    const path = handlers[url.pathname] ?? handlers["/"];
    const data = { path, user: url.searchParams.get("user") };
    if (!server.upgrade(request, { data })) return new Response("not a WebSocket", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    maxPayloadLength: 64 * 1024 * 1024,
    backpressureLimit: 64 * 1024 * 1024,
    open: (socket) => socket.data.path.open?.(socket),
    message: (socket, message) => socket.data.path.message(socket, message),
    close: (socket) => socket.data.path.close?.(socket),
  },
});
