// node-postgres with pg-cursor and pg-copy-streams: simple without parameters, extended with, named statements, pool.
'use strict';
const path = require('path');
const { pipeline } = require('stream/promises');
const { Readable, Writable } = require('stream');
const pg = require('pg');
const Cursor = require('pg-cursor');
const copy = require('pg-copy-streams');
const { say, run, tls, VALUES } = require(path.join(__dirname, '..', 'npm', 'transcript.js'));

const settings = () => ({ ssl: tls() });

async function failing(label, promise) {
  try {
    await promise;
    say(label, { unexpected: 'success' });
  } catch (why) {
    say(label, { code: why.code, message: why.message, detail: why.detail, position: why.position, routine: why.routine });
  }
}

async function values(client) {
  for (const [name, type, value] of VALUES) {
    const sent = name === 'jsonb' ? JSON.stringify(value) : value;
    const result = await client.query(`select $1::${type} as v`, [sent]);
    say('type', { name, value: result.rows[0].v, oid: result.fields[0].dataTypeID });
  }
}

async function prepared(client) {
  for (let n = 0; n < 3; n += 1) {
    const result = await client.query({ name: 'twice', text: 'select $1::int * 2 as v', values: [n] });
    say('prepared', { v: result.rows[0].v });
  }
  await failing('prepared error', client.query({ name: 'bad', text: 'select $1::int / 0', values: [1] }));
  await failing('wrong parameter', client.query('select $1::int', ['not a number']));
}

async function transactions(client) {
  await client.query('create temporary table t (id int primary key)');
  await client.query('begin');
  await client.query('insert into t values ($1)', [1]);
  await failing('duplicate', client.query('insert into t values ($1)', [1]));
  await failing('failed transaction', client.query('select 1'));
  say('commit of a failed one', { tag: (await client.query('commit')).command });
  say('rolled back', { count: (await client.query('select count(*) from t')).rows[0].count });
  const results = await client.query('select 1 as a; insert into t values (7); select id from t');
  say('several', { tags: results.map((r) => [r.command, r.rowCount]), rows: results[2].rows });
}

async function copies(client) {
  await client.query('create temporary table c (a int, b text)');
  await pipeline(Readable.from(['1\tone\n', '2\t\\N\n', '3\tü\n']), client.query(copy.from('copy c from stdin')));
  const pieces = [];
  await pipeline(client.query(copy.to('copy c to stdout (format csv)')), new Writable({ write(chunk, _, next) { pieces.push(chunk); next(); } }));
  say('copy', { text: Buffer.concat(pieces).toString() });
  await failing('copy failed', pipeline(Readable.from(['x\ty\n']), client.query(copy.from('copy c from stdin'))));
}

async function cursors(client) {
  const cursor = client.query(new Cursor('select n, n::text as t from generate_series(1, $1::int) n', [100]));
  say('cursor', { first: await cursor.read(3), next: (await cursor.read(50)).length, rest: (await cursor.read(1000)).length, end: (await cursor.read(10)).length });
  await cursor.close();
  const early = client.query(new Cursor('select generate_series(1, 1000000)'));
  say('cursor closed early', { first: (await early.read(2)).length });
  await early.close();
  const large = await client.query('select n, md5(n::text) as h from generate_series(1, 10000) n');
  say('large', { count: large.rowCount, last: large.rows[9999] });
}

async function notifications(client, other) {
  const seen = new Promise((resolve) => client.once('notification', resolve));
  await client.query('listen shelf');
  await other.query("notify shelf, 'hello'");
  const note = await seen;
  say('notification', { channel: note.channel, payload: note.payload, pid: note.processId === other.processID });
  const notice = new Promise((resolve) => client.once('notice', resolve));
  await client.query("do $$ begin raise notice 'seen'; end $$");
  const { severity, message, code } = await notice;
  say('notice', { severity, message, code });
}

async function cancel(client, other) {
  const sleeping = failing('cancelled', client.query('select pg_sleep(60)'));
  const active = "select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
  while ((await other.query(active)).rows[0].n === 0);
  // node-postgres has no public way but this: a second connection that only sends CancelRequest.
  const killer = new pg.Client(settings());
  killer.cancel(client, client._getActiveQuery ? client._getActiveQuery() : client.activeQuery);
  await sleeping;
  say('after cancel', { v: (await client.query('select 1 as v')).rows[0].v });
}

run(async () => {
  const client = new pg.Client(settings());
  const other = new pg.Client(settings());
  await client.connect();
  await other.connect();
  const who = await client.query('select current_user, current_database(), pg_backend_pid() as pid');
  say('connected', { who: [who.rows[0].current_user, who.rows[0].current_database], pid: who.rows[0].pid === client.processID });
  for (const part of [values, prepared, transactions, copies, cursors]) await part(client);
  await failing('unknown table', client.query('select * from nowhere'));
  await failing('syntax', client.query('selec 1'));
  // Queued without waiting: node-postgres sends the next when the last is answered.
  say('queued', { values: (await Promise.all([1, 2, 3].map((n) => client.query('select $1::int as v', [n])))).map((r) => r.rows[0].v) });
  await notifications(client, other);
  await cancel(client, other);
  const pool = new pg.Pool({ ...settings(), max: 4 });
  const answers = await Promise.all([...Array(20).keys()].map((n) => pool.query('select $1::int + 1 as v', [n])));
  say('pool', { sum: answers.reduce((sum, r) => sum + r.rows[0].v, 0) });
  await pool.end();
  await client.end();
  await other.end();
});
