/** What goes wrong between a page and the server. */

/** A refusal by the server, or no answer at all (`status` 0). */
export class JobcastError extends Error {
  /** @param {number} status HTTP's @param {string} code stable, for programs @param {string} message for people
   *  @param {{field: string, message: string}[]} [errors] which fields are wrong, as dotted paths
   *  @param {number} [retryAfterMs] when the server wants to be asked again */
  constructor(status, code, message, errors = [], retryAfterMs = 0) {
    super(message);
    this.name = 'JobcastError';
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}
