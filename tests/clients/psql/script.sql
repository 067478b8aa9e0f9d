\conninfo_is_left_out
select current_user, session_user, current_database();
create schema psql_rig;
set search_path = psql_rig, public;
create type mood as enum ('low', 'high');
create table t (id serial primary key, name varchar(20) not null, m mood default 'low', at timestamptz default '2026-01-01');
comment on table t is 'what psql shows';
insert into t (name, m) values ('Ada', 'high'), ('Bjørn', 'low'), ('世界', 'high') returning *;
create view v as select name from t where m = 'high';
\d t
\d+ v
\dT+ mood
\df psql_rig.*
\dt psql_rig.*
\x on
select * from t where id = 1;
\x off
\pset null '(null)'
select null as nothing, ''::text as empty;
select 1 as a \; select 2 as b;
select name as who from t where id = 2 \gset
\echo :who
select 'select ' || n || ' as made' from generate_series(1, 3) n \gexec
select count(*) from t \gdesc
prepare p (int) as select name from t where id = $1;
execute p (3);
deallocate p;
begin;
delete from t;
savepoint s;
select 1/0;
rollback to s;
select count(*) from t;
rollback;
select count(*) from t;
begin;
selec;
select 1;
commit;
begin isolation level serializable read only;
insert into t (name) values ('no');
rollback;
declare c cursor with hold for select n from generate_series(1, 10) n;
fetch 3 from c;
move 4 in c;
fetch all from c;
close c;
copy t (name) from stdin;
from copy
with\ttab
\.
copy t (name, m) from stdin (format csv);
x,not a mood
\.
copy (select id, name from t order by id) to stdout (format csv, header);
do $$ begin raise notice 'a notice'; raise warning 'a warning' using hint = 'a hint', detail = 'a detail'; end $$;
do $$ begin raise exception 'an exception' using errcode = 'RF123', hint = 'do something'; end $$;
\set VERBOSITY verbose
select * from nowhere;
\set VERBOSITY default
listen shelf;
notify shelf, 'payload';
unlisten *;
explain (costs off) select * from t where id = 1;
set time zone 'Asia/Tokyo';
show time zone;
select at from t where id = 1;
set client_encoding = 'LATIN1';
select 'caf' || chr(233);
set client_encoding = 'UTF8';
select '世界'::bytea;
set standard_conforming_strings = off;
select 'back\\slash';
reset all;
\lo_import /dev/null
\lo_unlink :LASTOID
select * from psql_rig.t order by id offset 1 limit 2 \crosstabview id name
\bind_is_newer_than_15
select pg_catalog.set_config('x.y', 'value', false), current_setting('x.y');
discard all;
drop schema psql_rig cascade;
