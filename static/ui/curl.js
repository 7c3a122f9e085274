/** The command line that does what the page is about to do. */

/** @param {string} text A POSIX shell takes the result for exactly this text. */
export function shellQuoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Submits a job and prints its events.
 * @param {string} base @param {{kind: string, input: unknown}} body
 * @param {boolean} keyed whether the server wants a key */
export function curlLine(base, body, keyed) {
  const url = new URL('v1/jobs', base).href;
  return [
    `curl -N ${shellQuoted(url)}`,
    "-H 'Accept: text/event-stream'",
    "-H 'Content-Type: application/json'",
    ...(keyed ? ['-H "Authorization: Bearer $JOBCAST_API_KEY"'] : []),
    `--data-raw ${shellQuoted(JSON.stringify(body))}`,
  ].join(' \\\n  ');
}

/** Prints the text of a job as it comes. @param {string} base @param {string} id @param {boolean} keyed */
export function watchLine(base, id, keyed) {
  const url = new URL(`v1/jobs/${id}/events?format=text`, base).href;
  return `curl -N ${keyed ? '-H "Authorization: Bearer $JOBCAST_API_KEY" ' : ''}${shellQuoted(url)}`;
}
