// postgres.js: named statements under random names, pipelining, cursors, COPY streams, subscriptions to channels, cancel.
'use strict';
const path = require('path');
const { pipeline } = require('stream/promises');
const { Readable } = require('stream');
const postgres = require('postgres');
const { say, run, tls, VALUES } = require(path.join(__dirname, '..', 'npm', 'transcript.js'));

const connect = (more = {}) => postgres({
  host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, pass: process.env.PGPASSWORD,
  database: process.env.PGDATABASE, ssl: tls(), max: 1, onnotice: (n) => say('notice', { message: n.message, code: n.code }), ...more,
});

async function failing(label, promise) {
  try {
    await promise;
    say(label, { unexpected: 'success' });
  } catch (why) {
    say(label, { code: why.code, message: why.message, detail: why.detail, position: why.position });
  }
}

async function values(sql) {
  for (const [name, type, value] of VALUES) {
    const result = await sql`select ${name === 'jsonb' ? sql.json(value) : value}::${sql.unsafe(type)} as v`;
    say('type', { name, value: result[0].v, oid: result.columns[0].type });
  }
}

async function transactions(sql) {
  await sql`create temporary table t (id int primary key, note text)`;
  await failing('rolled back', sql.begin(async (tx) => {
    await tx`insert into t values (1, 'a')`;
    await tx.savepoint(async (inner) => { await inner`insert into t values (1, 'twice')`; }).catch((why) => say('savepoint', { code: why.code }));
    await tx`insert into t values (2, 'b')`;
    throw new Error('the client changed its mind');
  }));
  say('count', { rows: await sql`select count(*)::int as n from t` });
  const inserted = await sql`insert into t ${sql([{ id: 5, note: 'x' }, { id: 6, note: null }])} returning *`;
  say('insert', { rows: [...inserted], count: inserted.count, tag: inserted.command });
  say('several', { results: (await sql.unsafe('select 1 as a; select 2 as b').simple()).map((r) => [...r]) });
}

async function pipelined(sql) {
  const answers = await Promise.allSettled([
    sql`select ${1}::int as v`, sql`select ${0}::int / 0 as v`, sql`select ${3}::int as v`, sql`select ${'x'}::text as v`,
  ]);
  say('pipeline', { answers: answers.map((a) => (a.status === 'fulfilled' ? a.value[0].v : a.reason.code)) });
  for (let n = 0; n < 3; n += 1) say('reused', { v: (await sql`select ${n}::int * 3 as v`)[0].v });
  let total = 0;
  await sql`select n from generate_series(1, 100) n`.cursor(7, (rows) => { for (const row of rows) total += row.n; });
  say('cursor', { total });
  let seen = 0;
  await sql`select n from generate_series(1, 1000) n`.cursor(10, () => { seen += 1; return seen === 3 ? sql.CLOSE : undefined; });
  say('cursor closed early', { seen });
  let rows = 0;
  await sql`select n, md5(n::text) from generate_series(1, 10000) n`.forEach(() => { rows += 1; });
  say('large', { rows });
  const described = await sql`select ${1}::int as a, ${'x'}::text as b`.describe();
  say('described', { types: described.types, columns: described.columns.map((c) => [c.name, c.type]) });
}

async function copies(sql) {
  await sql`create temporary table c (a int, b text)`;
  await pipeline(Readable.from(['1\tone\n', '2\tzwei ü\n']), await sql`copy c from stdin`.writable());
  const pieces = [];
  for await (const chunk of await sql`copy c to stdout`.readable()) pieces.push(chunk);
  say('copy', { text: Buffer.concat(pieces).toString() });
}

async function cancel(sql, other) {
  const sleeping = sql`select pg_sleep(60)`;
  const outcome = failing('cancelled', sleeping);
  while ((await other`select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'`)[0].n === 0);
  sleeping.cancel();
  await outcome;
  say('after cancel', { rows: await sql`select 1 as v` });
}

run(async () => {
  const sql = connect();
  const other = connect();
  say('connected', { who: await sql`select current_user, current_database(), current_setting('application_name') as name` });
  for (const part of [values, transactions, pipelined, copies]) await part(sql);
  await failing('unknown table', sql`select * from nowhere`);
  await sql`do $$ begin raise notice 'seen'; end $$`;
  const note = new Promise((resolve) => { other.listen('shelf', resolve).then(() => sql.notify('shelf', 'hello ü')); });
  say('notification', { payload: await note });
  await cancel(sql, connect());
  const pool = connect({ max: 4 });
  const answers = await Promise.all([...Array(30).keys()].map((n) => pool`select ${n}::int as v`));
  say('pool', { sum: answers.reduce((sum, r) => sum + r[0].v, 0) });
  await Promise.all([sql.end(), other.end(), pool.end()]);
  // The connections left open by the listener and the canceller do not matter to the transcript.
  setImmediate(() => process.exit(0));
});
