//! The shop: a database that looks like somebody's production.

/// Roles and tables, as the superuser makes them. `PASSWORD` is replaced.
pub(super) const ROLE: &str = "
CREATE ROLE shop_rw LOGIN PASSWORD 'PASSWORD';
CREATE DATABASE shop OWNER shop_rw;
";

/// Tables and rows, made in the new database as its owner.
pub(super) const TABLES: &str = "
CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    city text NOT NULL,
    since date NOT NULL
);
CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    placed_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'reminded', 'paid', 'shipped', 'cancelled')),
    total numeric(10,2) NOT NULL
);
CREATE TABLE payments (
    id integer PRIMARY KEY,
    order_id integer NOT NULL REFERENCES orders,
    received_at timestamptz NOT NULL,
    amount numeric(10,2) NOT NULL,
    method text NOT NULL,
    reference text NOT NULL
);
INSERT INTO customers VALUES
    (1, 'Hannah Berger', 'hannah.berger@example.com', 'Graz', '2021-03-14'),
    (2, 'Luca Moretti', 'luca.moretti@example.com', 'Torino', '2020-11-02'),
    (3, 'Amara Okafor', 'amara.okafor@example.com', 'Lyon', '2022-06-21'),
    (4, 'Jonas Lindqvist', 'jonas.lindqvist@example.com', 'Uppsala', '2019-09-30'),
    (5, 'Zofia Nowak', 'zofia.nowak@example.com', 'Gdynia', '2023-01-08'),
    (6, 'Diego Ferrer', 'diego.ferrer@example.com', 'Valencia', '2022-12-19'),
    (7, 'Mei Tanaka', 'mei.tanaka@example.com', 'Düsseldorf', '2021-08-05'),
    (8, 'Owen Gallagher', 'owen.gallagher@example.com', 'Cork', '2024-02-27');
INSERT INTO orders
SELECT 1000 + n, 1 + (n * 5) % 8, timestamptz '2026-09-01 08:15+00' + n * interval '19 hours 7 minutes',
       CASE WHEN n % 7 = 3 THEN 'cancelled' WHEN n > 52 THEN 'open' WHEN n % 3 = 0 THEN 'shipped' ELSE 'paid' END,
       round((19.90 + (n * 37 % 211) * 1.45)::numeric, 2)
FROM generate_series(1, 60) AS n;
INSERT INTO payments
SELECT 7000 + o.id - 1000, o.id, o.placed_at + interval '1 day 3 hours', o.total,
       CASE o.id % 3 WHEN 0 THEN 'card' WHEN 1 THEN 'transfer' ELSE 'direct debit' END,
       'RF' || lpad((o.id * 7919 % 1000000)::text, 6, '0')
FROM orders o WHERE o.status IN ('paid', 'shipped');
ANALYZE;
";
