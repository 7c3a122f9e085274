/** The client library against a server that is played by hand. */

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Jobcast } from '../../static/jobcast.js';
import { FakeEventSource, fakeFetch, fakeWindow, settled, token } from './fakes.js';

let window;
let document;
let client;
let calls;
let answers;
let opened;

beforeEach(() => {
  ({ window, document } = fakeWindow());
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  FakeEventSource.made = [];
  answers = {};
  const fake = fakeFetch(answers);
  calls = fake.calls;
  client = new Jobcast({ fetch: fake.fetch, EventSource: FakeEventSource });
  opened = [];
});

afterEach(() => {
  for (const job of opened) job.close();
  mock.timers.reset();
});

/** Follows a job, and closes it after the test. */
async function follow(id, options) {
  const job = client.follow(id, options);
  opened.push(job);
  await settled();
  return job;
}

const source = () => FakeEventSource.last;

test('one job is followed at its own address, from the start', async () => {
  const job = await follow('a');
  assert.equal(source().url, '/v1/jobs/a/events?after=0');
  source().sends({ seq: 1, type: 'queued' });
  source().sends({ seq: 2, type: 'started', rollback_to: 0 });
  source().sends(token(3, 'Hel'));
  source().sends(token(4, 'lo'));
  assert.deepEqual([job.status, job.text, job.seq], ['running', 'Hello', 4]);
  source().sends({ seq: 5, type: 'succeeded', result: { n: 1 } });
  assert.equal((await job.ended).type, 'succeeded');
  assert.deepEqual([job.status, job.result, job.done, job.connection], ['succeeded', { n: 1 }, true, 'closed']);
  await settled();
  assert.deepEqual(FakeEventSource.open, []);
});

test('what arrives twice is handed over once', async () => {
  const seen = [];
  const job = await follow('a', { after: 2, onEvent: ({ seq }) => seen.push(seq) });
  for (const seq of [1, 2, 3, 3, 2, 4]) source().sends(token(seq, String(seq)));
  assert.deepEqual([seen, job.text], [[3, 4], '34']);
});

test('several jobs share one connection and one cursor', async () => {
  const [a, b] = [client.follow('a'), client.follow('b')];
  opened.push(a, b);
  await settled();
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ['/v1/events?job=a&job=b']);
  source().sends({ ...token(3, 'A'), job: 'a' }, 'cursor,1');
  source().sends({ ...token(2, 'B'), job: 'b' }, 'cursor,2');
  assert.deepEqual([a.text, b.text], ['A', 'B']);
  const c = await follow('c');
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ['/v1/events?job=a&job=b&job=c&last_event_id=cursor%2C2']);
  source().sends({ ...token(1, 'C'), job: 'c' }, 'cursor,3');
  assert.equal(c.text, 'C');
});

test('a job that is followed once more is read from its start for the new reader only', async () => {
  const [a, b] = [client.follow('a'), client.follow('b')];
  opened.push(a, b);
  await settled();
  source().sends({ ...token(3, 'A'), job: 'a' }, 'cursor');
  const again = await follow('a');
  assert.equal(source().url, '/v1/events?job=a&job=b');
  source().sends({ ...token(3, 'A'), job: 'a' }, 'cursor');
  assert.deepEqual([a.text, again.text], ['A', 'A']);
});

test('a job that ends does not disturb the connection of the others', async () => {
  const [a, b] = [client.follow('a'), client.follow('b')];
  opened.push(a, b);
  await settled();
  source().sends({ seq: 1, type: 'cancelled', reason: 'asked', job: 'a' }, 'x');
  await settled();
  assert.equal(FakeEventSource.made.length, 1);
  b.close();
  await settled();
  assert.deepEqual(FakeEventSource.open, []);
});

test('one that is left over goes on at its own position', async () => {
  const [a, b] = [client.follow('a'), client.follow('b')];
  opened.push(a, b);
  await settled();
  source().sends({ ...token(7, 'x'), job: 'b' }, 'x');
  a.close();
  await settled();
  assert.equal(source().url, '/v1/jobs/b/events?after=7');
  await assert.rejects(a.ended, { name: 'AbortError' });
});

test('more jobs than one connection takes wait for room', async () => {
  const jobs = Array.from({ length: 102 }, (_, number) => client.follow(`j${number}`));
  opened.push(...jobs);
  await settled();
  assert.equal(source().url.match(/job=/g).length, 100);
  source().sends({ seq: 1, type: 'succeeded', job: 'j0' }, 'x');
  await settled();
  assert.match(source().url, /job=j100&last_event_id/);
});

test('where the browser gives up a new connection begins after the last event', async () => {
  answers['GET /v1/jobs/a'] = { id: 'a', status: 'running', last_seq: 9 };
  const job = await follow('a');
  source().sends(token(5, 'x'));
  await source().givesUp();
  assert.equal(job.connection, 'reconnecting');
  mock.timers.tick(500);
  assert.equal(source().url, '/v1/jobs/a/events?after=5');
  source().opens();
  assert.equal(job.connection, 'live');
});

test('pauses grow while nothing comes, up to twenty seconds', async () => {
  answers['GET /v1/jobs/a'] = new TypeError('network');
  await follow('a');
  for (let failure = 0; failure < 10; failure += 1) {
    await source().givesUp();
    mock.timers.tick(20_000);
  }
  const count = FakeEventSource.made.length;
  assert.equal(count, 11);
  await source().givesUp();
  mock.timers.tick(9_000);
  assert.equal(FakeEventSource.made.length, count);
});

test('a 204 after the last event is an end', async () => {
  answers['GET /v1/jobs/a'] = { id: 'a', status: 'failed', last_seq: 7, error: { code: 'x', message: 'y' }, attempt: 1 };
  const job = await follow('a', { after: 7 });
  await source().givesUp();
  assert.deepEqual([(await job.ended).type, job.status, job.error.code, job.complete], ['failed', 'failed', 'x', true]);
});

test('a log that is gone before its job leaves a gap and the result', async () => {
  answers['GET /v1/jobs/a'] = { id: 'a', status: 'succeeded', last_seq: 7, result: { text: 'kept' }, attempt: 1 };
  const gaps = [];
  const job = await follow('a', { onEvent: (event) => gaps.push(event) });
  await source().givesUp();
  assert.deepEqual([job.complete, job.result.text, job.done], [false, 'kept', true]);
  assert.deepEqual(gaps, [{ type: 'gap', job: 'a', lost_from: 1, lost_to: 7 }]);
});

test('a job that there is not is an error of its follower alone', async () => {
  answers['GET /v1/jobs/b'] = { id: 'b', status: 'running', last_seq: 1 };
  const errors = [];
  const [a, b] = [client.follow('a', { onError: (error) => errors.push(error) }), client.follow('b')];
  opened.push(a, b);
  await settled();
  await source().givesUp();
  assert.deepEqual([errors[0].status, errors[0].code, a.done, b.done], [404, 'not_found', true, false]);
  await assert.rejects(a.ended, { name: 'JobcastError', status: 404 });
  await settled();
  assert.equal(source().url, '/v1/jobs/b/events?after=0');
});

test('an overloaded server is waited for', async () => {
  const states = [];
  const job = await follow('a', { onConnection: (state) => states.push(state) });
  source().sends({ type: 'overloaded' });
  source().isCut();
  source().sends(token(1, 'x'));
  assert.deepEqual(states, ['live', 'overloaded', 'reconnecting', 'live']);
  assert.equal(job.text, 'x');
  assert.equal(FakeEventSource.made.length, 1);
});

test('without a network it says so, and with one again it does not wait', async () => {
  const job = await follow('a');
  source().sends(token(4, 'x'));
  navigator.onLine = false;
  source().isCut();
  assert.equal(job.connection, 'offline');
  window.dispatchEvent(new Event('online'));
  assert.equal(FakeEventSource.made.length, 2);
  assert.equal(source().url, '/v1/jobs/a/events?after=4');
});

test('a page that is looked at again trusts a connection that spoke, and no other', async () => {
  await follow('a');
  const look = () => document.dispatchEvent(new Event('visibilitychange'));
  source().opens();
  look();
  assert.equal(FakeEventSource.made.length, 1);
  mock.timers.tick(31_000);
  look();
  assert.equal(FakeEventSource.made.length, 2);
  look();
  assert.equal(FakeEventSource.made.length, 3, 'one that is not open yet is opened anew');
  document.hidden = true;
  look();
  assert.equal(FakeEventSource.made.length, 3);
});

test('a page from the cache of the browser connects anew', async () => {
  await follow('a');
  source().opens();
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  assert.equal(FakeEventSource.made.length, 2);
});

test('a machine that slept connects anew', async () => {
  await follow('a');
  source().opens();
  mock.timers.setTime(Date.now() + 600_000);
  mock.timers.tick(5_000);
  assert.equal(FakeEventSource.made.length, 2);
});

test('nothing is listened to once nothing is followed', async () => {
  const job = await follow('a');
  job.close();
  await settled();
  window.dispatchEvent(new Event('online'));
  mock.timers.tick(600_000);
  assert.equal(FakeEventSource.made.length, 1);
});

test('the text of a failed attempt goes, and the page is told all that stays', async () => {
  const told = [];
  const job = await follow('a', { onText: (text, { channel, replaced }) => told.push([text, channel, replaced]) });
  source().sends(token(2, 'kept '));
  source().sends(token(3, 'void'));
  source().sends(token(4, 'side', { channel: 'b' }));
  source().sends({ seq: 5, type: 'retrying', delay_s: 1, error: { code: 'x', message: 'y' } });
  assert.deepEqual([job.status, job.error.code], ['retrying', 'x']);
  source().sends({ seq: 6, type: 'started', attempt: 2, rollback_to: 2 });
  assert.deepEqual([job.text, job.textOf('b'), job.attempt, job.error], ['kept ', '', 2, null]);
  assert.deepEqual(told.slice(3), [['kept ', 'main', true], ['', 'b', true]]);
});

test('text on both sides of the position is fetched unjoined', async () => {
  answers['GET /v1/jobs/a/events?format=json&exact=1&after=1'] = { events: [token(2, 'ke')], next: 2, done: false };
  answers['GET /v1/jobs/a/events?format=json&exact=1&after=2'] = {
    events: [token(3, 'pt '), token(3, 'other', { channel: 'b' }), token(4, 'void')], next: 4, done: false,
  };
  const told = [];
  const job = await follow('a', { onText: (text, { replaced }) => told.push([text, replaced]) });
  source().sends({ seq: 1, type: 'queued' });
  source().sends(token(4, 'kept void'));
  source().sends({ seq: 5, type: 'started', attempt: 2, rollback_to: 3 });
  source().sends(token(6, 'new'));
  await settled();
  assert.equal(job.text, 'kept new');
  assert.deepEqual(told, [['kept void', false], ['', true], ['new', false], ['kept new', true]]);
});

test('a gap is handed over and moves the position', async () => {
  const job = await follow('a');
  source().sends({ type: 'gap', lost_from: 1, lost_to: 40, job: 'a' });
  source().sends(token(40, 'old'));
  source().sends(token(41, 'new'));
  assert.deepEqual([job.complete, job.seq, job.text], [false, 41, 'new']);
});

test('events can be read in a loop, and leaving it lets go', async () => {
  const job = await follow('a');
  const seen = [];
  const loop = (async () => {
    for await (const event of job) {
      seen.push(event.seq);
      if (event.seq === 3) break;
    }
  })();
  for (const seq of [1, 2, 3, 4]) source().sends(token(seq, 'x'));
  await loop;
  assert.deepEqual([seen, job.done], [[1, 2, 3], true]);
});

test('a loop ends with the job, or throws where there is none', async () => {
  const job = await follow('a');
  const all = [];
  const reading = (async () => { for await (const event of job) all.push(event.type); })();
  source().sends({ seq: 1, type: 'succeeded' });
  await reading;
  assert.deepEqual(all, ['succeeded']);
  const missing = await follow('b');
  const failing = assert.rejects(async () => { for await (const event of missing) assert.fail(event); }, { status: 404 });
  await source().givesUp();
  await failing;
});

test('a signal lets go', async () => {
  const controller = new AbortController();
  await follow('a', { signal: controller.signal });
  controller.abort();
  await settled();
  assert.deepEqual(FakeEventSource.open, []);
});

test('a callback that throws stops nothing, and the page is told', async () => {
  const job = await follow('a', { onText: () => { throw new Error('of the page'); } });
  const later = mock.method(globalThis, 'queueMicrotask', () => {});
  source().sends(token(1, 'x'));
  source().sends(token(2, 'y'));
  later.mock.restore();
  assert.equal(job.text, 'xy');
  assert.equal(later.mock.callCount(), 2);
  assert.throws(later.mock.calls[0].arguments[0], { message: 'of the page' });
});

test('from now on is where the job is now', async () => {
  answers['GET /v1/jobs/a'] = { id: 'a', status: 'running', last_seq: 12 };
  await follow('a', { after: -1 });
  assert.equal(source().url, '/v1/jobs/a/events?after=12');
});

test('a submission without an answer is tried again with the same key', async () => {
  let times = 0;
  answers['POST /v1/jobs'] = () => {
    times += 1;
    if (times === 1) return new TypeError('network');
    return times === 2 ? { http: 503, body: {}, headers: { 'Retry-After': '2' } } : { http: 202, body: { id: 'a' } };
  };
  const submitting = client.submit('generate', { prompt: 'x' }, { priority: 9 });
  for (let second = 0; second < 5; second += 1) {
    await settled();
    mock.timers.tick(1000);
  }
  assert.equal((await submitting).id, 'a');
  assert.equal(new Set(calls.map(({ headers }) => headers['Idempotency-Key'])).size, 1);
  assert.deepEqual(JSON.parse(calls[0].body), { kind: 'generate', input: { prompt: 'x' }, priority: 9 });
});

test('a refusal carries what the server said', async () => {
  const errors = [{ field: 'input.prompt', message: 'is missing' }];
  answers['POST /v1/jobs'] = { http: 422, body: { code: 'invalid_request', detail: 'input.prompt: is missing', errors } };
  await assert.rejects(client.submit('generate', {}), { status: 422, code: 'invalid_request', message: 'input.prompt: is missing', errors, passing: false });
  assert.equal(calls.length, 1);
});

test('filters that are empty are left out', async () => {
  answers['GET /v1/jobs?status=failed&limit=3'] = { jobs: [], next: null };
  assert.deepEqual(await client.list({ status: 'failed', kind: '', limit: 3, cursor: undefined }), { jobs: [], next: null });
});

test('activity tells that something may be missing after each interruption', async () => {
  const seen = [];
  const activity = client.activity((event) => seen.push(event.type));
  opened.push(activity);
  source().sends({ type: 'started', job: 'a' });
  source().isCut();
  source().sends({ type: 'succeeded', job: 'a' });
  assert.deepEqual(seen, ['started', 'gap', 'succeeded']);
});

test('activity that is refused says why and stops', async () => {
  answers['GET /v1/jobs?limit=1'] = { http: 401, body: { code: 'unauthorized', detail: 'send a key' } };
  const errors = [];
  opened.push(client.activity(() => {}, { onError: ({ status }) => errors.push(status) }));
  await source().givesUp();
  mock.timers.tick(60_000);
  assert.deepEqual([errors, FakeEventSource.made.length], [[401], 1]);
});
