-- Every kind of object that pg_dump of PostgreSQL 15 knows and that needs nothing outside the server.
create schema shop;
comment on schema shop is 'everything for sale';
set search_path = shop, public;
create extension if not exists hstore;
create extension if not exists pg_trgm;
create extension if not exists postgres_fdw;
create extension if not exists file_fdw;
create extension if not exists btree_gist;

create type mood as enum ('low', 'so so', 'high');
create type pair as (a int, b text collate "C");
create type span as range (subtype = float8, subtype_diff = float8mi);
create domain percent as numeric(5, 2) default 0 not null check (value between 0 and 100);
comment on domain percent is 'a share of something';
create collation de (provider = libc, locale = 'C');
create table booking (room int, during tsrange, exclude using gist (room with =, during with &&));
create sequence numbers start 100 increment 7 cache 3 cycle maxvalue 10000;

create table customer (
  id bigint generated always as identity primary key,
  name text not null,
  email text unique,
  feeling mood default 'so so',
  share percent,
  tags hstore,
  extra jsonb not null default '{}',
  name_lower text generated always as (lower(name)) stored,
  constraint named check (length(name) > 0)
);
comment on column customer.email is $$it's "quoted" \ here$$;
alter table customer alter column name set statistics 500, alter column extra set storage external;
create table orders (
  id serial,
  customer bigint not null references customer on delete cascade deferrable initially deferred,
  placed date not null,
  during tsrange,
  photo bytea,
  primary key (id, placed),
  check (photo is not null or during is not null)
) partition by range (placed);
create table orders_2025 partition of orders for values from ('2025-01-01') to ('2026-01-01');
create table orders_2026 partition of orders for values from ('2026-01-01') to ('2027-01-01') partition by range (placed);
create table orders_2026_rest partition of orders_2026 default;
create table base (a int);
create table derived (b int) inherits (base);
create unlogged table scratch (like customer including all);
create domain ltree_free as text;
create table wide (x numeric[][], y pair[], z span, t interval, n inet, m macaddr, g point, b bit varying(9), l ltree_free) ;
create index on orders (placed desc nulls last) include (customer) where during is not null;
create index on customer using gin (extra jsonb_path_ops);
create index on customer using gin (name gin_trgm_ops);
create unique index on customer (lower(email)) nulls not distinct;
create statistics customer_stats (dependencies, ndistinct) on feeling, share from customer;
cluster orders_2025 using orders_2025_pkey;

create function add_one(i int default 1) returns int language sql immutable strict parallel safe cost 7 return i + 1;
create function rows_of(n int) returns table (a int, b text) language plpgsql stable as $f$
begin
  return query select g, 'row ' || g from generate_series(1, n) g;
end $f$;
create function touched() returns trigger language plpgsql security definer set search_path = shop as $f$
begin
  new.extra := new.extra || jsonb_build_object('touched', true);
  return new;
end $f$;
create procedure tidy(inout n int) language plpgsql as $f$ begin n := n * 2; end $f$;
create aggregate product (float8) (sfunc = float8mul, stype = float8, initcond = 1);
create function mood_weight(mood) returns int language sql immutable as $f$ select array_position(enum_range(null::mood), $1) $f$;
create cast (mood as int) with function mood_weight(mood);
create function same_text(text, text) returns boolean language sql immutable as $f$ select lower($1) = lower($2) $f$;
create operator === (leftarg = text, rightarg = text, function = same_text, commutator = ===);
create operator family texts using btree;
create operator class texts_ops for type text using btree family texts as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 bttextcmp(text, text);
create conversion to_latin for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1;

create view feelings with (security_barrier) as select feeling, count(*) as n from customer group by feeling;
create view one_customer as select id, name from customer where id > 0 with cascaded check option;
create materialized view totals as select customer, count(*) as n from orders group by customer with no data;
create unique index on totals (customer);
create recursive view counted (n) as values (1) union all select n + 1 from counted where n < 5;
create rule no_delete as on delete to scratch do instead nothing;
create trigger customer_touched before insert or update of name on customer for each row when (new.name <> 'x') execute function touched();
create constraint trigger late after update on orders_2025 deferrable initially deferred for each row execute function suppress_redundant_updates_trigger();
alter table customer disable trigger customer_touched;
alter table customer enable always trigger customer_touched;

create text search dictionary plain_words (template = simple, stopwords = english);
create text search configuration ours (copy = simple);
alter text search configuration ours alter mapping for asciiword with plain_words, simple;
create text search parser our_parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline);
create text search template our_template (init = dsimple_init, lexize = dsimple_lexize);
create function our_handler() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
create language our_language handler our_handler;
comment on language our_language is 'a procedural language by another name';
create transform for int language sql (from sql with function prsd_lextype(internal), to sql with function int4recv(internal));
create foreign data wrapper our_wrapper options (nothing 'of use');
create server nowhere type 'none' version '0' foreign data wrapper our_wrapper options (host 'nowhere');
create server elsewhere foreign data wrapper postgres_fdw options (host '192.0.2.1', dbname 'far');
create user mapping for app server elsewhere options (user 'u', password 'not a secret');
create server files foreign data wrapper file_fdw;
create foreign table passwd_like (line text) server files options (filename '/dev/null', format 'text');
create foreign table far_away (id int options (column_name 'ID'), v text) server elsewhere options (schema_name 's', table_name 't');

alter table customer enable row level security;
alter table customer force row level security;
create policy own_rows on customer as restrictive for select to app using (name <> 'secret');
create policy all_rows on customer using (true) with check (share < 50);
grant usage on schema shop to app_reader;
grant select, insert (name, email) on customer to app with grant option;
grant execute on function add_one(int) to app_reader;
revoke all on function add_one(int) from public;
alter default privileges in schema shop grant select on tables to app_reader;
create publication news for table customer (id, name) where (id > 10) with (publish = 'insert, update');
create publication of_public for tables in schema public;
create publication everything for all tables;
create subscription far connection 'dbname=nowhere' publication p with (connect = false, slot_name = none, enabled = false);
create access method heap_again type table handler heap_tableam_handler;
create function on_ddl() returns event_trigger language plpgsql as $f$ begin null; end $f$;
create event trigger watch on ddl_command_end when tag in ('CREATE TABLE') execute function shop.on_ddl();
alter event trigger watch disable;

insert into customer (name, email, feeling, share, tags, extra)
select 'Name ' || n || ' ü 世界', 'c' || n || '@example.com', (enum_range(null::mood))[1 + n % 3], n % 50, hstore('k', n::text), jsonb_build_object('n', n, 'quote', '"\') from generate_series(1, 200) n;
insert into orders (customer, placed, during, photo)
select n, date '2025-06-01' + n * 2, tsrange(timestamp '2025-01-01' + n * interval '1 day', null), decode(md5(n::text), 'hex') from generate_series(1, 150) n;
insert into base values (1), (null);
insert into derived values (2, 3);
insert into scratch (name) values ('unlogged');
insert into wide values ('{{1,2.5},{NaN,-3}}', array[row(1, E'tab\there \\ "q" \n')::pair], '[1,2)', '1 year -2 days 03:04:05.6', '192.0.2.0/24', '08:00:2b:01:02:03', '(1,2)', b'10101', 'x'), (default, default, null, default, default, default, default, default, null);
select setval('numbers', 107);
refresh materialized view totals;
select lo_from_bytea(70001, 'a large object'), lo_from_bytea(70002, decode(repeat('00ff', 5000), 'hex'));
comment on large object 70001 is 'with a comment';
grant select on large object 70002 to app_reader;
alter database shop set work_mem = '7MB';
analyze;
