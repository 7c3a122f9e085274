/** The parts of the page that decide and draw nothing. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { curlLine, shellQuoted, watchLine } from '../../static/ui/curl.js';
import { simplified } from '../../static/ui/form.js';
import { ago, duration, number, progressWords, sentence, titleOf } from '../../static/ui/format.js';

test('a shell takes a quoted text for that text', () => {
  for (const text of ['plain', "it's", '$HOME `id` "x" \\ !', 'a\nb', '*', '', '-n', 'é🌊', "'''"]) {
    assert.equal(execFileSync('sh', ['-c', `printf %s ${shellQuoted(text)}`], { encoding: 'utf8' }), text);
  }
});

test('the command line carries the body, and the key only as a variable', () => {
  const line = curlLine('http://host/base/', { kind: 'generate', input: { prompt: "it's" } }, true);
  assert.match(line, /^curl -N http:\/\/host\/base\/v1\/jobs \\\n/);
  assert.match(line, /-H "Authorization: Bearer \$JOBCAST_API_KEY"/);
  assert.match(line, /--data-raw '\{"kind":"generate","input":\{"prompt":"it'\\''s"\}\}'$/);
  assert.equal(watchLine('http://host/', 'a', false), "curl -N 'http://host/v1/jobs/a/events?format=text'");
});

test('a schema is read through references and nulls', () => {
  const defs = { Size: { enum: ['s', 'm'] } };
  assert.deepEqual(simplified({ anyOf: [{ type: 'string', maxLength: 9 }, { type: 'null' }], title: 'T', default: null }, defs),
    { type: 'string', maxLength: 9, title: 'T', default: null });
  assert.deepEqual(simplified({ $ref: '#/$defs/Size', default: 's' }, defs), { enum: ['s', 'm'], default: 's' });
  assert.deepEqual(simplified({ anyOf: [{ $ref: '#/$defs/Size' }, { type: 'null' }] }, defs), { enum: ['s', 'm'] });
  assert.equal(simplified({ anyOf: [{ type: 'string' }, { type: 'integer' }] }, defs).anyOf.length, 2);
});

test('times and numbers read well', () => {
  assert.deepEqual([-5, 12.4, 2_340, 61_000, 3_720_000].map(duration), ['0 ms', '12 ms', '2.3 s', '1 min 1 s', '1 h 2 min']);
  assert.deepEqual([0.25, 9.96, 1234567].map(number), ['0.3', '10', '1\u202f234\u202f567']);
  assert.equal(ago(new Date().toISOString()), 'just now');
  assert.equal(ago(new Date(Date.now() - 120_000).toISOString()), '2 min ago');
  assert.equal(progressWords({ fraction: 0.999, message: 'map', current: 1, total: 2, eta_s: 3 }), 'map · 1 of 2 · 99 % · 3.0 s left');
  assert.equal(sentence('it failed'), 'It failed.');
});

test('a job is called by its title, or by its kind and the end of its id', () => {
  assert.equal(titleOf({ id: '0123456789', kind: 'score', metadata: { title: 'Mine' } }), 'Mine');
  assert.equal(titleOf({ id: '0123456789', kind: 'score', metadata: { title: 7 } }), 'score 456789');
});
