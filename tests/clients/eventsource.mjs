// npm `eventsource`: re-connects by itself, and stops when it is answered 204.
import { EventSource } from "eventsource";
import { TYPES, report, stopped } from "./events.mjs";

const source = new EventSource(process.argv[2]);
for (const type of TYPES) {
  source.addEventListener(type, (event) => report(event.data));
}
source.addEventListener("error", (event) => {
  if (source.readyState === EventSource.CLOSED) {
    stopped(String(event.code));
  }
});
