// What the scripts beside this have in common: each event goes to standard output as a line of JSON.

export const TYPES = ["queued", "started", "token", "progress", "log", "retrying", "succeeded", "failed", "cancelled"];
export const ENDS = new Set(["succeeded", "failed", "cancelled"]);

/** @param {string} data */
export function report(data) {
  process.stdout.write(JSON.stringify(JSON.parse(data)) + "\n");
}

/** Says why the client has stopped, for the test to look at.
 * @param {string} why */
export function stopped(why) {
  process.stdout.write(JSON.stringify({ stopped: why }) + "\n");
}
