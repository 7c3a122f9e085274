/** Figures of a job, from the times that its events carry. */

import { duration, number } from './format.js';

/** @typedef {import('../jobcast/types.js').JobEvent} JobEvent */

const ENDS = new Set(['succeeded', 'failed', 'cancelled']);

export class Facts {
  #submitted = 0;
  #started = 0;
  #ended = 0;
  #firstToken = 0;
  #lastToken = 0;
  #again = 0;
  /** Attempts that only went on, after the job had waited for its children: none was lost for them. */ #continued = 0;
  #failed = true;
  /** How much later this machine's clock shows a time than the server's: the least that was ever seen. */ #skew =
    Infinity;

  /** @param {JobEvent} event */
  hear(event) {
    const at = Date.parse(event.at);
    if (Number.isNaN(at)) return;
    this.#skew = Math.min(this.#skew, Date.now() - at);
    if (event.type === 'queued') this.#submitted = at;
    if (event.type === 'started' && !this.#failed) this.#continued += 1;
    else if (event.type === 'started') [this.#started, this.#firstToken, this.#again] = [at, 0, 0];
    if (event.type === 'started' || event.type === 'retrying') this.#failed = event.type === 'retrying';
    if (event.type === 'token') [this.#firstToken, this.#lastToken] = [this.#firstToken || at, at];
    if (event.type === 'retrying') this.#again = at + (event.delay_s ?? 0) * 1000;
    if (ENDS.has(event.type)) this.#ended = at;
  }

  /** When another attempt begins. */
  pauseWords() {
    const left = this.#again - this.#now();
    return left > 0 ? `Another attempt begins in ${Math.ceil(left / 1000)} s.` : 'Another attempt begins.';
  }

  /** One line about a job. @param {import('../jobcast.js').FollowedJob} followed
   *  @param {import('../jobcast/types.js').Job|null} job */
  words(followed, job) {
    const usage = followed.result?.usage?.completion_tokens;
    const attempt = followed.attempt - this.#continued;
    const writing_ms = this.#lastToken - this.#firstToken;
    return [
      job?.kind,
      attempt > 1 && `attempt ${attempt}${job ? ` of ${job.max_attempts}` : ''}`,
      this.#time(followed.status),
      this.#firstToken > 0 &&
        this.#submitted > 0 &&
        `first token after ${duration(this.#firstToken - this.#submitted)}`,
      usage > 0 && `${number(usage)} tokens`,
      usage > 1 && writing_ms > 0 && `${number((usage / writing_ms) * 1000)} tokens/s`,
      !usage && followed.text.length > 0 && `${number(followed.text.length)} characters`,
    ]
      .filter(Boolean)
      .join(' · ');
  }

  /** @param {string|null} status */
  #time(status) {
    if (this.#ended) return this.#started ? duration(this.#ended - this.#started) : '';
    if (this.#started) return duration(this.#now() - this.#started);
    return status === 'queued' && this.#submitted ? `waiting for ${duration(this.#now() - this.#submitted)}` : '';
  }

  #now() {
    return Date.now() - (Number.isFinite(this.#skew) ? this.#skew : 0);
  }
}
