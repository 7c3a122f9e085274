// npm `eventsource-client`: an asynchronous iterator that re-connects by itself, and ends when it is answered 204.
import { createEventSource } from "eventsource-client";
import { report, stopped } from "./events.mjs";

const source = createEventSource({ url: process.argv[2] });
for await (const { data } of source) {
  report(data);
}
stopped(source.readyState);
