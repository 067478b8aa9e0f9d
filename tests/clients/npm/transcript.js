// What the Node client scripts share: a deterministic transcript, one JSON object a line.
'use strict';

function plain(value) {
  if (value === undefined) return null;
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return `bigint:${value}`;
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return `bytes:${Buffer.from(value).toString('hex')}`;
  if (value instanceof Date) return `date:${value.toISOString()}`;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, plain(value[key])]));
}

exports.say = (step, facts = {}) => console.log(JSON.stringify({ step, ...plain(facts) }));

// A watchdog: a promise that never settles must be a failure, not an exit code 0 of an empty event loop.
exports.run = (main) => {
  let done = false;
  process.on('exit', (code) => { if (!done && code === 0) { console.error('the event loop ran dry'); process.exitCode = 1; } });
  main().then(() => { done = true; }, (why) => { console.error(why); process.exit(1); });
};

exports.tls = () => {
  const mode = process.env.PGSSLMODE || 'disable';
  if (mode === 'disable') return false;
  return { ca: require('fs').readFileSync(process.env.PGSSLROOTCERT, 'utf8'), servername: 'localhost' };
};

exports.VALUES = [
  ['bool', 'boolean', true], ['int2', 'smallint', -32768], ['int4', 'integer', 2147483647],
  ['int8', 'bigint', '-9223372036854775808'], ['float4', 'real', 1.5], ['float8', 'double precision', -0.1],
  ['numeric', 'numeric', '-12345678901234567890.123456789'], ['text', 'text', "Grüße, 世界 🦀 'q' \\ \n"], ['empty', 'text', ''],
  ['bytea', 'bytea', Buffer.from([...Array(256).keys()])], ['uuid', 'uuid', '6f2c9c6e-7d1b-4c5e-9a1f-0123456789ab'],
  ['jsonb', 'jsonb', { k: [1, null, 'ü'] }], ['timestamptz', 'timestamptz', new Date(Date.UTC(2026, 2, 1, 2, 0, 0, 1))],
  ['int4[]', 'integer[]', [1, 2, -3]], ['text[]', 'text[]', ['a', 'b"c', '', '{}']], ['null', 'integer', null],
];
