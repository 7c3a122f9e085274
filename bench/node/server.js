// resumable-stream behind node:http: `node server.js PORT`, with REDIS_URL and BENCH_RATE (tokens a second in each stream).
// The first reader of a stream makes it, in this process, as the package's own example does; all others follow it.
import { createServer } from "node:http";
import { createResumableStreamContext } from "resumable-stream";

const pauseMs = 1000 / Number(process.env.BENCH_RATE ?? 50);
const streams = createResumableStreamContext({ waitUntil: (promise) => void promise.catch(() => {}) });

function speak() {
  let timer;
  let number = 0;
  const began = performance.now();
  return new ReadableStream({
    start(controller) {
      timer = setInterval(() => {
        // A timer of node's is late as a rule: what is due is said, so that the rate is kept.
        for (const due = (performance.now() - began) / pauseMs; number < due; number++) {
          controller.enqueue(`data: ~${number},${process.hrtime.bigint()};xxxxxxxx\n\n`);
        }
      }, Math.max(1, pauseMs / 2));
    },
    cancel() {
      clearInterval(timer);
    },
  });
}

async function follow(request, response) {
  const stream = await streams.resumableStream(request.url, speak);
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.flushHeaders();
  for await (const text of stream) {
    if (!response.write(text)) await new Promise((drained) => response.once("drain", drained));
  }
  response.end();
}

createServer((request, response) => follow(request, response).catch(() => response.destroy())).listen({
  port: Number(process.argv[2]),
  host: "127.0.0.1",
  backlog: 4096,
});
