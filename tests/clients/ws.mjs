// npm `ws`: one socket after another, each from where the last one was cut, until the server says 1000.
import { WebSocket } from "ws";
import { report, stopped } from "./events.mjs";

let after = 0;

function follow() {
  const socket = new WebSocket(`${process.argv[2]}&after=${after}`, ["jobcast.v1"]);
  socket.on("message", (data) => {
    after = JSON.parse(data.toString()).seq;
    report(data.toString());
  });
  socket.on("error", () => {});
  socket.on("close", (code) => {
    if (code === 1000) {
      stopped(String(code));
    } else {
      setTimeout(follow, 100);
    }
  });
}

follow();
