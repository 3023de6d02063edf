// node with ws: `/`, `/room` and `/relay?user=NAME`, as `harness` describes them.
import { WebSocketServer } from "ws";

const room = new Set();
const users = new Map();

function relay(socket, user) {
  users.set(user, socket);
  socket.on("close", () => users.delete(user));
  socket.on("message", (data, isBinary) => {
    users.get(JSON.parse(data).receiver)?.send(data, { binary: isBinary });
  });
}

function joinRoom(socket) {
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("message", (data, isBinary) => {
    for (const other of room) {
      if (other !== socket) other.send(data, { binary: isBinary });
    }
  });
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  backlog: 1024,
  perMessageDeflate: false,
});

server.on("connection", (socket, request) => {
  const url = new URL(request.url, "http://localhost");
  socket.on("error", () => {});
  if (url.pathname === "/relay") relay(socket, url.searchParams.get("user"));
  else if (url.pathname === "/room") joinRoom(socket);
  else socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
