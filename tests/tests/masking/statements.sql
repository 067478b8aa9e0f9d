select * from people;;
select p from people p;;
select p.* from people p;;
select (p).secret from people p;;
select secret, short, fixed, w, t, bytes, doc, raw, x, list, p, r, h, n, day, ip, u, v from people;;
select note from people;;
copy people to stdout;;
copy people (secret, note) to stdout (format csv);;
copy people to stdout (format csv, header, force_quote *);;
copy people to stdout (format binary);;
copy (select secret || note from people) to stdout;;
copy (select bytes, doc from people) to stdout (format binary);;
copy seen to stdout;;
copy (select * from seen) to stdout;;
copy parent to stdout;;
copy (table parent) to stdout;;
select * from seen;;
select * from kept;;
select * from parent;;
select * from part;;
begin
declare c scroll cursor for select secret, note from people
fetch 2 from c
fetch backward 1 from c
fetch last from c
move first in c
fetch relative 0 from c
close c
rollback;;
begin
declare c binary cursor for select secret, n, doc from people
fetch all from c
rollback;;
begin
declare c cursor with hold for select secret from people
commit
fetch all from c
close c;;
prepare q as select secret from people where id = $1
execute q(1)
execute q(2)
deallocate q;;
select secret::int from people /*fails*/;;
select 1/(k - k), secret from people /*fails*/;;
select secret::tag from people /*fails*/;;
select note::inet from people /*fails*/;;
select ('"' || secret)::jsonb from people /*fails*/;;
select to_number(secret, '999') from people /*fails*/;;
select to_timestamp(secret, 'YYYY') from people /*fails*/;;
select secret::regtype from people /*fails*/;;
select to_tsquery(secret || ' |') from people /*fails*/;;
select regexp_matches('x', secret || '(') from people /*fails*/;;
select loud() /*fails*/;;
select teller();;
select upper(secret), lower(secret), initcap(secret), reverse(secret) from people;;
select md5(secret), sha256(secret::bytea), encode(sha256(secret::bytea), 'hex') from people;;
select encode(secret::bytea, 'hex'), encode(secret::bytea, 'base64'), encode(bytes, 'escape') from people;;
select convert_from(bytes, 'utf8'), convert_to(secret, 'utf8') from people;;
select substring(secret, i, 1) from people, generate_series(1, length(secret)) i where id = 1;;
select ascii(substring(secret, i, 1)) from people, generate_series(1, length(secret)) i where id = 1;;
select chr(ascii(substring(secret, i, 1))) from people, generate_series(1, length(secret)) i where id = 1;;
select get_byte(bytes, i) from people, generate_series(0, 7) i where id = 1;;
select string_agg(secret, ','), array_agg(secret), min(secret), max(secret), xmlagg(xmlelement(name a, secret)) from people;;
select json_agg(p), jsonb_agg(secret), json_object_agg(secret, id), jsonb_object_agg(id, secret) from people p;;
select to_json(p), row_to_json(p), to_jsonb(p) from people p;;
select json_build_object(secret, 1), json_build_array(secret), jsonb_build_object('a', secret) from people;;
select format('%s %I %L', secret, secret, secret), concat(secret, 1), concat_ws('-', secret, 2), secret || 'x' from people;;
select quote_literal(secret), quote_ident(secret), quote_nullable(secret) from people;;
select left(secret, 5), right(secret, 6), lpad(secret, 20, '*'), repeat(secret, 2), replace(secret, '1', '2'), translate(secret, '1', '2') from people;;
select overlay(secret placing 'x' from 1 for 1), trim(secret), split_part(secret, '1', 1), btrim(secret, '1') from people;;
select string_to_array(secret, 'x'), unnest(string_to_array(note, ' ')) from people;;
select regexp_matches(secret, '.*'), regexp_split_to_array(secret, '1'), regexp_replace(secret, '1', '2') from people;;
select m from people, regexp_matches(secret, '.', 'g') m where id = 1;;
select c from people, regexp_split_to_table(secret, '') c where id = 1;;
select c from people, string_to_table(secret, null) c where id = 1;;
select * from people, lateral (select secret as s) l;;
with x as (select secret s from people) select * from x;;
with recursive x as (select secret s, 1 i from people where id = 1 union all select substr(s, 2), i + 1 from x where i < 4) select * from x;;
with recursive x as (select secret s, left(secret, 1) c from people where id = 1 union all select substr(s, 2), left(substr(s, 2), 1) from x where s <> '') select c from x;;
select secret from people union select 'x';;
select 'x' union all select short from people;;
select id::text from people intersect select secret from people;;
select case when id = 1 then secret end, coalesce(secret, ''), nullif(secret, ''), greatest(secret, '') from people;;
select (select secret from people where id = 1), array(select secret from people), exists(select secret from people);;
select row(secret, 1), row(p.*) from people p;;
select lag(secret) over (order by id), lead(secret) over (), first_value(secret) over (order by id), nth_value(secret, 1) over () from people;;
select count(*), secret from people group by secret;;
select secret from people order by secret limit 1;;
select distinct on (secret) secret from people;;
select percentile_disc(0.5) within group (order by secret), mode() within group (order by n) from people;;
select list[1], unnest(list), array_to_string(list, ','), list || 'x' from people;;
select (p).a, (p).* from people;;
select lower(r), upper(r), r * r, range_merge(r, r) from people;;
select n + 0, n::text, round(n), n::bigint, abs(-n), to_char(n, '9999999999'), width_bucket(n, 0, 5000000000, 10) from people;;
select day + 0, to_char(day, 'YYYY-MM-DD'), day::text, date_trunc('day', day), extract(epoch from day) from people;;
select host(ip), ip::text, set_masklen(ip, 16), u::text, u::text || '' from people;;
select doc->'a', doc->>'a', doc #>> '{b,0}', jsonb_path_query(doc, '$.a'), jsonb_pretty(doc), doc - 'b' from people;;
select k2, v2 from people, jsonb_each_text(doc) e(k2, v2);;
select jsonb_object_keys(doc), json_object_keys(raw) from people;;
select value from people, jsonb_array_elements_text(doc->'b');;
select * from people, jsonb_to_record(doc) as x2(a text);;
select * from people, json_populate_record(null::pair, doc::json) pp;;
select * from people, json_each(raw);;
select jsonb_set(doc, '{a}', to_jsonb(secret)), jsonb_insert('{}', '{z}', to_jsonb(secret)), jsonb_strip_nulls(doc) from people;;
select h->'a', hstore_to_json(h), akeys(h), avals(h), each(h), hstore(secret, 'a') from people;;
select xpath('/a/text()', x), xmlserialize(content x as text), x::text, xmlforest(secret), xmlconcat(x, x), xmlelement(name b, secret) from people;;
select * from people, xmltable('/a' passing x columns c text path '.');;
select ts_headline('simple', secret, to_tsquery('simple', 'word')), v::text, tsvector_to_array(v), strip(v) from people;;
select unnest(v) from people;;
select * from people, ts_debug('simple', secret) d;;
select ts_parse('default', secret) from people;;
select to_tsvector('simple', secret), plainto_tsquery('simple', secret), phraseto_tsquery(secret) from people;;
select * from ts_stat('select v from people');;
select query_to_xml('select secret from people', true, true, '');;
select table_to_xml('people', true, true, '');;
select most_common_vals from pg_stats where tablename = 'people';;
select * from pg_stats where tablename = 'people';;
select histogram_bounds::text from pg_stats where attname = 'secret';;
select stavalues1::text from pg_statistic;;
select s from (select stavalues1 s from pg_catalog.pg_statistic) x;;
select query from pg_stat_activity;;
select enumlabel from pg_enum where enumlabel like 'o%';;
select pg_get_expr(adbin, adrelid) from pg_attrdef;;
explain (verbose) select secret from people where secret = 'a';;
explain (analyze, verbose, costs off) select secret from people where secret < (select max(secret) from people);;
explain (analyze, verbose, format json) select secret from people;;
explain (verbose) execute nosuch /*fails*/;;
create temp table tt as select secret as s from people
select * from tt;;
select secret into temp tt from people
select s.* from tt s;;
create table copied (s text)
insert into copied select secret from people
select * from copied
drop table copied;;
insert into people (id, secret) values (77, 'x') returning secret
delete from people where id = 77 returning secret, id;;
update people set k = k + 1 where id = 1 returning secret, note;;
update people set note = note where id = 2 returning *;;
update people set k = k where id = 3;;
delete from people where id = 4711 returning people;;
insert into people (id) values (1) on conflict (id) do update set k = 5 returning secret, excluded.secret /*fails*/;;
insert into people (id) values (1) on conflict (id) do update set k = 5 returning secret;;
merge into people p using (select 2 as i) s on p.id = s.i when matched then update set k = 9;;
with x as (update people set k = k where id = 1 returning secret) select * from x;;
insert into people select * from people /*fails*/;;
insert into people (id, secret) select 1, secret from people /*fails*/;;
begin
lock table people
rollback;;
listen news
notify news, 'plain'
select pg_notify('news', secret) from people;;
select set_config('application_name', secret, false) from people
show application_name
select current_setting('application_name');;
select set_config('my.x', secret, false) from people where id = 1
select current_setting('my.x')
show my.x
select setting from pg_settings where name = 'my.x';;
select lo_from_bytea(0, bytes) from people;;
select pg_typeof(secret), length(secret), octet_length(secret) from people;;
select hashtext(secret), hashtextextended(secret, 0) from people;;
select secret collate "C", secret::varchar(5), secret::char(3), secret::name, secret::bytea, cast(secret as text) from people;;
select secret || secret, secret like 'z%', secret ~ 'z', position('c' in secret), strpos(secret, 'c') from people;;
select w::text, w || '', t::text, enum_range(t), t::text || '' from people;;
select * from people natural join kept;;
select a.secret from people a join people b using (secret);;
select secret from people a full join kept b on a.id = b.id;;
select s.secret from (values (1)) v(i), lateral (select secret from people where id = i) s;;
table people;;
table only people;;
select * from rows from (unnest(array(select secret from people)), generate_series(1, 3)) as x(a, b);;
select any_value from (select (array_agg(secret))[1] any_value from people) x;;
select json_agg(x) from (select secret from people) x;;
select array_to_json(array_agg(p)) from people p;;
select jsonb_path_query_array(to_jsonb(p), '$.*') from people p;;
select string_agg(chr(ascii(c)), '') from people, regexp_split_to_table(secret, '') c where id = 1;;
select p::text, p::text || '' from people p;;
select textin(textout(secret)), byteaout(bytes) from people /*fails*/;;
select record_out(p) from people p /*fails*/;;
select format('%s', p) from people p;;
select concat(p) from people p;;
select quote_literal(p) from people p;;
select num_nonnulls(secret), bit_length(secret), to_hex(ascii(secret)) from people;;
select secret as id, id as secret from people;;
select x.a from (select secret from people) x(a);;
select "SECRET" from (select secret as "SECRET" from people) x;;
set search_path = public
select secret from people;;
select secret from public.people;;
select secret from shop.public.people;;
set role app
select secret from people;;
set xmloption = document
select x from people;;
set bytea_output = escape
select bytes from people;;
set datestyle = 'German, DMY'
select day, day::text from people;;
begin
savepoint s
select secret::int from people /*fails*/
rollback to s
select secret from people
commit;;
do $$ begin raise notice '%', (select secret from people limit 1); end $$;;
select dblink('dbname=shop', 'select secret from people') /*fails*/;;
select cursor_to_xml('c', 1, true, true, '') /*fails*/;;
begin
declare c cursor for select secret from people
select cursor_to_xml('c', 3, true, true, '')
rollback;;
select pg_get_viewdef('seen'), obj_description('people'::regclass);;
select stxdndistinct from pg_statistic_ext_data;;
select most_common_vals from pg_stats_ext;;
select heap.* from people heap where ctid = '(0,1)';;
select people from people where id = 1;;
select people.people from people where id = 1 /*fails*/;;
select (select people from people limit 1);;
select array_agg(people) from people;;
select count(people), count(distinct secret) from people;;
select secret from people for update;;
select grouping(secret), secret from people group by cube (secret);;
select max(secret) filter (where id = 1) from people;;
select secret from people tablesample system (100);;
select xmlpi(name a, secret) from people;;
select xmlcomment(secret) from people;;
select jsonb_path_exists(doc, '$.a'), jsonb_path_match(doc, 'exists($.a)'), jsonb_path_query_first(doc, '$.a') from people;;
select json_extract_path_text(raw, 'zz'), jsonb_extract_path(doc, 'a'), jsonb_extract_path_text(doc, 'a') from people;;
select normalize(secret), unistr(secret), casefold from people, lower(secret) casefold;;
select starts_with(secret, 'z'), parse_ident(secret), to_ascii(secret) from people;;
select secret from people where secret > 'a' order by secret desc nulls last fetch first 2 rows only;;
select inet_merge(ip, ip), ip + 1, ip & ip, ~ip, abbrev(ip), network(ip), text(ip) from people;;
select age(day), day - date '2000-01-01', make_date(extract(year from day)::int, extract(month from day)::int, extract(day from day)::int) from people;;
select sum(n), avg(n), min(n), max(n), stddev(n) from people;;
select bytes || bytes, substring(bytes from 2), reverse(encode(bytes, 'hex')), md5(bytes), trim(bytes from '\x00'), set_byte(bytes, 0, 90) from people;;
select array_cat(list, list), array_append(list, secret), array_remove(list, 'b'), array_position(list, 'b'), cardinality(list), list::text from people;;
select lo_from_bytea(4711, bytes) from people where id = 1
select lo_get(4711) /*fails*/
select data from pg_largeobject;;
select pg_advisory_lock(n::bigint) from people where id = 1
select (classid::bigint << 32) | objid::bigint from pg_locks where locktype = 'advisory';;
create sequence q
select setval('q', n::bigint) from people where id = 1
select last_value from q
drop sequence q;;
select s.* from pg_stats s where attname = 'secret';;
select x from (select most_common_vals::text::text[] x from pg_stats where tablename = 'people') y;;
create temp view v2 as select secret as s from people
select * from v2;;
create view v3 as select upper(secret) as s, note from people
select * from v3
drop view v3;;
create function f3() returns setof text language sql as 'select secret from people'
select f3()
drop function f3();;
create temp table t3 (s text)
insert into t3 select short from people
select s from t3;;
prepare q as select * from people
set search_path = pg_catalog
execute q /*fails*/
set search_path = public
execute q;;
begin
declare c cursor for select p from people p
fetch 1 from c
fetch all in c
commit;;
select secret from people where id = any(array[1, 2]);;
select max(x.s) from (select distinct secret s from people) x;;
select a.s || b.s from (select left(secret, 4) s, id from people) a join (select substr(secret, 5) s, id from people) b using (id);;
select json_object(array['a', secret]), jsonb_object(array[secret], array['x']) from people;;
select string_agg(distinct secret, ',' order by secret) from people;;
select variance(n), corr(n, id), regr_slope(n, id) from people;;
values ((select secret from people limit 1)), ('x');;
select * from (values ((select secret from people limit 1))) v(a);;
select coalesce((select secret from people where id = 1), 'x') || '' as z;;
select secret from only people p where exists (select 1 from people q where q.secret = p.secret);;
select case secret when 'zq' || 'can' || 'ary1' then 1 else 0 end from people;;
update people set note = note returning id, (select secret from people limit 1);;
insert into people (id, note) values (99, (select secret from people where id = 1)) returning note
select note from people where id = 99
delete from people where id = 99;;
update people set note = secret where id = 3
select note from people where id = 3;;
create table k2 as table people
select * from k2
drop table k2;;
create materialized view m2 as select secret from people
select * from m2
drop materialized view m2;;
create table inh () inherits (people)
insert into inh (id, secret) select 50, secret from people where id = 1
select * from inh
drop table inh;;
select tableoid::regclass, ctid, xmin, secret from people;;
select * from ts_stat('select v from people');;
select word, ndoc from ts_stat('select to_tsvector(''simple'', secret) from people') where word like 'z%' order by word;;
select s::text, row(s) from ts_stat('select to_tsvector(''simple'', p::text) from people p') s;;
select length(word), left(word, 3) from ts_stat('select to_tsvector(''simple'', upper(secret) || short) from people', 'ab')
select secret from (select secret from people) x;;
select (select secret from people where id=1);;
select v from people, unnest(array[secret, note]) v /*fails*/;;
select * from (values ((select secret from people where id=1))) v(x);;
select secret from people union all select note from people;;
select note from people union select secret from people order by 1;;
select note from people except select secret from people;;
select 'a' intersect select secret from people;;
(select secret from people limit 1) union all (select 'x');;
select coalesce(secret,'-'), nullif(secret,'x'), greatest(secret,note), least(secret,note) from people;;
select case when k=1 then secret else note end from people;;
select secret::varchar(5), secret::bytea, secret::json from people where false /*fails*/;;
select list[1], array_to_string(list,','), unnest(list), list||'{x}', array_length(list,1), list::text, to_json(list), cardinality(list) from people /*fails*/;;
select doc->>'a', doc->'arr'->>0, doc#>>'{arr,0}', doc->'n', jsonb_pretty(doc), doc::text, jsonb_each_text(doc), doc-'a' from people;;
select key, value from people, jsonb_each_text(doc);;
select e from people, jsonb_array_elements_text(doc->'arr') e;;
select jsonb_path_query(doc,'$.a'), jsonb_path_query_array(doc,'$.**'), jsonb_path_query_first(doc,'$.n') from people;;
select x.a from people, jsonb_to_record(doc) as x(a text) /*fails*/;;
select (jsonb_populate_record(null::people, doc)).secret from people /*fails*/;;
select h->'k', hstore_to_json(h), avals(h), svals(h), each(h), h::text from people /*fails*/;;
select bytes, encode(bytes,'hex'), encode(bytes,'base64'), encode(bytes,'escape'), bytes::text, convert_from(bytes,'utf8'), substring(bytes,1,3), md5(bytes), get_byte(bytes,0) from people /*fails*/;;
select people from people;;
select people::text from people;;
select row_to_json(people), to_jsonb(people)->'secret', jsonb_build_object('x',people) from people;;
select (people).secret, (people.*)::text from people;;
select array_agg(secret), string_agg(secret,','), array_agg(row(id,secret)), xmlagg(xmlelement(name x, secret)) from people;;
select rank() over (order by secret), dense_rank() over (partition by secret order by k) from people;;
select regexp_matches(secret,'(.)','g'), regexp_split_to_table(secret,''), string_to_table(short::text,'@') from people;;
with a as (select secret s from people), b as (select s||'' t from a) select t from b;;
with recursive r as (select id, secret::text s, 1 n from people where id=1 union all select id, s, n+1 from r where n<3) select s from r;;
with recursive r(n,s) as (select 1, (select secret from people where id=1) union all select n+1, substr(s,2) from r where n<4) select * from r;;
with a as materialized (select * from people) select a.secret, a.note from a;;
with a(x,y) as (select secret, note from people) select y, x from a;;
select repeat('x', k), length(repeat('x', ascii(secret))) from people;;
select array_fill(secret, array[2]) from people;;
select array(select secret from people), array[secret, note], row(secret, k), (array[secret])[1], (row(secret,1)::text) from people;;
select t.x from (select row(secret, note) r, secret x from people) t;;
select t.r from (select row(secret, note) r from people) t;;
select (t.r).f1 from (select row(secret, note) r from people) t;;
select q.v from (select json_build_object('v', secret) v from people) q;;
select distinct secret from people;;
select distinct on (k) secret from people;;
select secret from people group by secret;;
select k, max(secret) filter (where k>0) from people group by rollup(k);;
select grouping(secret), secret from people group by cube(secret);;
select secret from people order by secret limit 1 offset 1;;
select secret from people tablesample bernoulli(100);;
select secret from only people;;
explain (analyze, verbose) select secret from people order by secret;;
explain (analyze, format json) select max(secret) from people;;
select secret::int from people /*fails*/;;
select secret::date from people /*fails*/;;
select ('{'||secret)::text[] from people /*fails*/;;
select secret::uuid from people /*fails*/;;
select to_date(secret,'YYYY') from people /*fails*/;;
select secret::xml, ('<'||secret)::xml from people /*fails*/;;
select ('{"'||secret)::json from people /*fails*/;;
select secret::inet from people /*fails*/;;
select secret::regclass from people /*fails*/;;
select secret::money from people /*fails*/;;
select secret::bit(3) from people /*fails*/;;
select to_number(secret,'999') from people /*fails*/;;
select substring(secret from k for -1) from people /*fails*/;;
select repeat(secret, 1000000000) from people /*fails*/;;
select convert_from(bytes,'sjis'), convert(bytes,'utf8','euc_jp') from people /*fails*/;;
select decode(secret,'hex') from people /*fails*/;;
select secret ~ ('['||secret) from people /*fails*/;;
select regexp_replace('x', '('||secret, '') from people /*fails*/;;
select to_tsquery(secret||' &') from people /*fails*/;;
select jsonb_path_query(doc, ('$.'||secret||'[')::jsonpath) from people /*fails*/;;
select current_setting(secret) from people /*fails*/;;
select has_table_privilege(secret,'select') from people /*fails*/;;
select pg_get_serial_sequence(secret,'x') from people /*fails*/;;
select secret at time zone secret from people /*fails*/;;
select most_common_vals from pg_stats where tablename='people';;
select * from pg_stats;;
select pg_column_size(secret), pg_typeof(secret), pg_collation_for(secret) from people;;
select num_nulls(secret), num_nonnulls(secret,note) from people;;
select secret collate "C" from people;;
select q from (select secret, note from people) q;;
select json_object(array['a', secret]), jsonb_object(array[secret], array['x']), json_build_object(secret, 1) from people;;
select jsonb_set('{}', '{a}', to_jsonb(secret), true), jsonb_insert('{"a":1}', array[secret], '1'), '{"a":1}'::jsonb || jsonb_build_object('z', secret) from people;;
select hstore('a', secret), hstore(array['a',secret]) from people /*fails*/;;
select substring(secret, g, 1) from people, generate_series(1,8) g where id=1;;
select string_agg(chr(ascii(substr(secret,g,1))),'') from people, generate_series(1,8) g where id=1;;
select ascii(substr(secret,1,1)) - 100 from people;;
select count(*), count(secret), count(distinct secret) from people;;
select k, count(*) from people group by k, secret;;
select row_number() over (order by secret), note from people;;
select j->>'note' from (select jsonb_build_object('note', note) j from people) q;;
select (r).f1 from (select row(note, k) r from people) q;;
select * from (select id, note, k from people) z;;
select json_agg(z) from (select id, note from people) z;;
