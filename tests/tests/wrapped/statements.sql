-- One statement a line; none of them may show what it takes.
select first_name as source from people
select array_agg(first_name) as source from people
select (array[first_name])[1] as source from people
select (array_agg(first_name))[2] as kind from people
select array[first_name, 'x'] as source from people
select to_jsonb(first_name) as source from people
select to_json(array[first_name]) as source from people
select json_build_object('source', first_name) as it from people
select jsonb_build_object('source', first_name, 'status', status) as it from people
select json_build_array(first_name) as source from people
select jsonb_agg(first_name) as source from people
select json_object_agg(id, first_name) as source from people
select json_agg(json_build_object('kind', first_name)) as source from people
select to_jsonb(s) as it from (select first_name as source, status from people) s
select row_to_json(s) as it from (select first_name as kind from people) s
select (to_jsonb(p) || jsonb_build_object('source', p.first_name)) - 'first_name' - 'full_name' - 'attrs' as it from people p
select u as source from people, unnest(array[first_name]) u
select unnest(array_agg(first_name)) as source from people
select jsonb_build_object('x', first_name) ->> 'x' as source from people
select jsonb_build_object('x', first_name) #>> '{x}' as source from people
select value as source from people, jsonb_array_elements_text(jsonb_build_array(first_name))
select hstore('source', first_name) as it from people
select hstore('source', first_name) -> 'source' as source from people
select percentile_disc(0.5) within group (order by first_name) as source from people
select convert_from(convert_to(first_name, 'utf8'), 'utf8') as source from people
select array_replace(array[first_name], 'a', 'b') as source from people
select array_remove(array[first_name], 'a') as source from people
select string_to_table(first_name, ',') as source from people
select regexp_split_to_table(first_name, ',') as source from people
select upper(first_name) as status from people
select first_name || '' as status from people
select coalesce(first_name, '') as kind from people
select case when id > 0 then first_name end as kind from people
select (row(first_name)).f1 as source from people
select row(first_name) as source from people
select (p).first_name as source from people p
select label as source from members
select doc as source from members
select one() as source
select all_of() as source
select s as source from all_of() s
with w as (select first_name as kind from people) select kind as source from w
with recursive w(kind, n) as (select first_name, 1 from people union all select kind, n + 1 from w where n < 2) select kind as source from w
select first_name as source from people union select 'x'
select password as source from people
select array_agg(password) as source from people
select json_build_object('source', password) as it from people
select jsonb_build_object('a', jsonb_build_object('b', password)) as it from people
select max(password) as note from people
select birth_date as created_at from people
select birth_date from people
select date_of_birth as created_at from people
select date_of_birth from people
select birth_date::timestamp as created_at from people
select birth_date + 0 as created_at from people
select date_trunc('day', date_of_birth) as updated_at from people
select date_of_birth::date as created_at from people
select max(birth_date) as updated_at from people
select array_agg(birth_date) as days from people
select to_jsonb(birth_date) as created_at from people
select json_build_object('created_at', birth_date) as it from people
select to_char(birth_date, 'YYYY-MM-DD') as created_at from people
select birth_date::text as created_at from people
copy (select array_agg(first_name) as source, max(birth_date) as created_at from people) to stdout
copy (select json_build_object('source', first_name) as it from people) to stdout (format csv)
copy (select birth_date as created_at, first_name as source from people) to stdout (format binary)
select json_build_object('email', first_name, 'iban', password) as it from people
select json_build_object('phone', birth_date) as it from people
select json_build_object('a', password)::text as source from people
select json_build_object('a', password)::text || '' as source from people
select string_agg(json_build_object('a', first_name)::text, ',') as source from people where id = 1
select jsonb_pretty(jsonb_build_object('source', first_name)) as it from people
select row_to_json(s)::text as it from (select first_name as a, status as b from people) s
select attrs from people
