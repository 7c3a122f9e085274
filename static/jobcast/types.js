/** The shapes that the API speaks in, for JSDoc; no code. */

/** @typedef {'queued'|'running'|'retrying'|'succeeded'|'failed'|'cancelled'} Status */

/** @typedef {'connecting'|'live'|'reconnecting'|'overloaded'|'offline'|'closed'} Connection */

/** @typedef {{fraction: number|null, step?: string|null, message?: string|null, current?: number|null,
 *   total?: number|null, eta_s?: number|null}} Progress */

/** @typedef {{code: string, message: string, retryable: boolean}} Failure */

/** One event; which members there are beside the first four depends on `type`. A `gap` has no `seq`.
 * @typedef {{type: string, seq: number, attempt: number, at: string, job?: string, kind?: string, text?: string,
 *   channel?: string, rollback_to?: number, worker?: string, level?: string, message?: string|null, result?: any,
 *   error?: Failure, reason?: string, delay_s?: number, lost_from?: number, lost_to?: number, name?: string,
 *   media_type?: string, size?: number, url?: string, fraction?: number|null, step?: string|null,
 *   current?: number|null, total?: number|null, eta_s?: number|null,
 *   children?: Record<Status, number>, child?: Child}} JobEvent */

/** A job's child that has begun or ended; `index` is its place in its step.
 * @typedef {{job: string, kind: string, status: Status, index: number}} Child */

/** @typedef {{id: string, kind: string, status: Status, queue: string, priority: number, attempt: number,
 *   max_attempts: number, progress: Progress|null, result: any, error: Failure|null, metadata: Record<string, any>,
 *   created_at: string, started_at: string|null, finished_at: string|null, last_seq: number, retry_of: string|null,
 *   parent: string|null, batch: string|null, hint: string|null, queue_position: number|null, links: Record<string, string>}} Job */

/** A file that was uploaded; `size` in bytes.
 * @typedef {{id: string, name: string, media_type: string, size: number, sha256: string, created_at: string,
 *   expires_at: string, links: Record<string, string>}} Uploaded */

/** @typedef {{name: string, title: string, description: string, queue: string, input_schema: any, limits: any}} Kind */

/** `replaced`: the text is all of the channel's, since some that was there is void; else it is to be appended.
 * @typedef {{channel: string, seq: number, replaced: boolean}} TextInfo */

/** @typedef {{idempotencyKey?: string, signal?: AbortSignal, queue?: string, priority?: number, delay_s?: number,
 *   max_attempts?: number, timeout_s?: number, metadata?: Record<string, any>}} SubmitOptions */

/** @typedef {{after?: number, signal?: AbortSignal, onText?: (text: string, info: TextInfo) => void,
 *   onEvent?: (event: JobEvent) => void, onState?: (job: import('./job.js').FollowedJob) => void,
 *   onConnection?: (connection: Connection) => void,
 *   onError?: (error: import('./error.js').JobcastError) => void}} FollowOptions */

/** @typedef {{signal?: AbortSignal, onConnection?: (connection: Connection) => void,
 *   onError?: (error: import('./error.js').JobcastError) => void}} ActivityOptions */

export {};
