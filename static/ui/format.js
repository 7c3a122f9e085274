/** Words and numbers as the page shows them. */

/** @typedef {import('../jobcast/types.js').Job} Job */

const STATUS = /** @type {Record<string, string>} */ ({
  queued: 'Queued',
  running: 'Running',
  retrying: 'Retrying',
  succeeded: 'Succeeded',
  failed: 'Failed',
  cancelled: 'Cancelled',
});
export const STATUSES = Object.keys(STATUS);

/** @param {string|null} status */
export function statusWord(status) {
  return STATUS[status ?? ''] ?? 'Loading';
}

/** What a job is called: the title that its submitter gave it, else its kind and the end of its id.
 * @param {{id: string, kind?: string, metadata?: Record<string, any>}} job */
export function titleOf({ id, kind, metadata }) {
  const title = metadata?.title;
  return typeof title === 'string' && title.trim() ? title : `${kind ?? 'Job'} ${id.slice(-6)}`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 0) return '0 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor(ms / 1000) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {string} moment RFC 3339 */
export function ago(moment) {
  const seconds = Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
  if (seconds < 45) return 'just now';
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
}

/** @param {string} moment RFC 3339 */
export function clock(moment) {
  return new Date(moment).toLocaleTimeString();
}

/** @param {number} value */
export function number(value) {
  return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 }).replaceAll(',', '\u202f');
}

/** @param {import('../jobcast/types.js').Progress} progress */
export function progressWords({ fraction, message, current, total, eta_s: eta }) {
  const counts = current != null && total != null ? `${number(current)} of ${number(total)}` : '';
  const percent = fraction != null ? `${Math.floor(fraction * 100)} %` : '';
  return [message, counts, percent, eta ? `${duration(eta * 1000)} left` : ''].filter(Boolean).join(' · ');
}

/** @param {string} text */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?`]$/.test(whole) ? whole : `${whole}.`;
}

/** A size for people. @param {number} size in bytes */
export function bytes(size) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(size, 1)) / 10));
  return `${power ? number(size / 1024 ** power) : size} ${units[power]}`;
}
