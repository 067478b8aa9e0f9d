-- A small online shop: who buys, what they ordered, how they paid. Owned by the superuser; the application's role may
-- read and change rows, nothing more. Amounts are in cents.

CREATE TABLE customers (
    id     integer PRIMARY KEY,
    name   text NOT NULL,
    email  text NOT NULL UNIQUE,
    city   text NOT NULL,
    since  date NOT NULL
);

CREATE TABLE orders (
    id           integer PRIMARY KEY,
    customer_id  integer NOT NULL REFERENCES customers,
    placed_at    timestamptz NOT NULL,
    status       text NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'returned', 'on hold')),
    total_cents  integer NOT NULL CHECK (total_cents > 0)
);

CREATE TABLE payments (
    id            integer PRIMARY KEY,
    order_id      integer NOT NULL REFERENCES orders,
    amount_cents  integer NOT NULL,
    method        text NOT NULL CHECK (method IN ('card', 'invoice', 'sepa', 'wallet')),
    reference     text NOT NULL,
    paid_at       timestamptz NOT NULL
);

CREATE INDEX payments_order ON payments (order_id);

INSERT INTO customers (id, name, email, city, since) VALUES
    (101, 'Lena Hoffmann',     'lena.hoffmann@post.example',   'Hamburg',   '2021-03-14'),
    (102, 'Marco Bianchi',     'marco.bianchi@mail.example',   'Milano',    '2021-05-02'),
    (103, 'Sophie Laurent',    'sophie.laurent@mail.example',  'Lyon',      '2021-09-27'),
    (104, 'Jakub Nowak',       'jakub.nowak@poczta.example',   'Kraków',    '2022-01-08'),
    (105, 'Emma van Dijk',     'emma@vandijk.example',         'Utrecht',   '2022-02-19'),
    (106, 'Oliver Bennett',    'o.bennett@mail.example',       'Leeds',     '2022-06-30'),
    (107, 'Inês Carvalho',     'ines.carvalho@mail.example',   'Porto',     '2022-11-11'),
    (108, 'Niklas Lindqvist',  'niklas@lindqvist.example',     'Uppsala',   '2023-02-03'),
    (109, 'Aoife Brennan',     'aoife.brennan@mail.example',   'Cork',      '2023-04-22'),
    (110, 'Tomáš Dvořák',      'tomas.dvorak@posta.example',   'Brno',      '2023-08-16'),
    (111, 'Clara Jiménez',     'clara.jimenez@mail.example',   'Sevilla',   '2024-01-29'),
    (112, 'Johannes Gruber',   'j.gruber@post.example',        'Graz',      '2024-05-07'),
    (113, 'Freya Sørensen',    'freya.sorensen@mail.example',  'Aarhus',    '2024-10-18'),
    (114, 'Yusuf Demir',       'yusuf.demir@posta.example',    'Hamburg',   '2025-02-25');

INSERT INTO orders (id, customer_id, placed_at, status, total_cents) VALUES
    (5001, 106, now() - interval '41 days 3 hours',   'shipped',   7490),
    (5002, 101, now() - interval '40 days 20 hours',  'shipped',  12900),
    (5003, 109, now() - interval '38 days 7 hours',   'returned',  3995),
    (5004, 102, now() - interval '36 days 1 hour',    'shipped',  25940),
    (5005, 104, now() - interval '33 days 15 hours',  'shipped',   5600),
    (5006, 111, now() - interval '31 days 22 hours',  'shipped',  18250),
    (5007, 105, now() - interval '29 days 4 hours',   'shipped',   8990),
    (5008, 103, now() - interval '27 days 9 hours',   'shipped',  14380),
    (5009, 114, now() - interval '24 days 2 hours',   'shipped',   4450),
    (5010, 108, now() - interval '22 days 18 hours',  'shipped',  31900),
    (5011, 110, now() - interval '19 days 6 hours',   'shipped',   2790),
    (5012, 107, now() - interval '16 days 11 hours',  'shipped',   9925),
    (5013, 112, now() - interval '13 days 23 hours',  'shipped',  16700),
    (5014, 106, now() - interval '11 days 5 hours',   'shipped',   6480),
    (5015, 101, now() - interval '9 days 14 hours',   'paid',     23980),
    (5016, 113, now() - interval '7 days 8 hours',    'paid',      7250),
    (5017, 102, now() - interval '5 days 19 hours',   'paid',     11890),
    (5018, 105, now() - interval '3 days 12 hours',   'on hold',  45900),
    (5019, 103, now() - interval '2 days 3 hours',    'paid',      5390),
    (5020, 109, now() - interval '1 day 16 hours',    'open',      8740),
    (5021, 114, now() - interval '20 hours',          'open',     13450),
    (5022, 111, now() - interval '5 hours',           'open',      2990);

-- Order 5015 was paid in two halves: two payments of the same amount, both due.
INSERT INTO payments (id, order_id, amount_cents, method, reference, paid_at) VALUES
    (7001, 5001,   7490, 'card',    'ch_1QH3xk', now() - interval '41 days 3 hours'),
    (7002, 5002,  12900, 'sepa',    'SE-004417', now() - interval '39 days 2 hours'),
    (7003, 5003,   3995, 'wallet',  'w-88213',   now() - interval '38 days 7 hours'),
    (7004, 5003,  -3995, 'wallet',  'w-88213-r', now() - interval '30 days 5 hours'),
    (7005, 5004,  25940, 'card',    'ch_1QJ81d', now() - interval '36 days 1 hour'),
    (7006, 5005,   5600, 'card',    'ch_1QK0wz', now() - interval '33 days 15 hours'),
    (7007, 5006,  18250, 'invoice', 'RE-2291',   now() - interval '20 days 9 hours'),
    (7008, 5007,   8990, 'card',    'ch_1QL94a', now() - interval '29 days 4 hours'),
    (7009, 5008,  14380, 'card',    'ch_1QM2c7', now() - interval '27 days 9 hours'),
    (7010, 5009,   4450, 'sepa',    'SE-004502', now() - interval '22 days 1 hour'),
    (7011, 5010,  31900, 'invoice', 'RE-2304',   now() - interval '12 days 7 hours'),
    (7012, 5011,   2790, 'wallet',  'w-90477',   now() - interval '19 days 6 hours'),
    (7013, 5012,   9925, 'card',    'ch_1QP6ty', now() - interval '16 days 11 hours'),
    (7014, 5013,  16700, 'sepa',    'SE-004588', now() - interval '11 days 20 hours'),
    (7015, 5014,   6480, 'card',    'ch_1QR1mm', now() - interval '11 days 5 hours'),
    (7016, 5015,  11990, 'sepa',    'SE-004611', now() - interval '8 days 10 hours'),
    (7017, 5015,  11990, 'sepa',    'SE-004612', now() - interval '1 day 10 hours'),
    (7018, 5016,   7250, 'card',    'ch_1QS77v', now() - interval '7 days 8 hours'),
    (7019, 5017,  11890, 'wallet',  'w-93020',   now() - interval '5 days 19 hours'),
    (7020, 5018,  20000, 'sepa',    'SE-004640', now() - interval '2 days 6 hours'),
    (7021, 5019,   5390, 'card',    'ch_1QU5de', now() - interval '2 days 3 hours');

CREATE VIEW revenue_by_city AS
    SELECT c.city, count(DISTINCT o.id) AS orders, sum(p.amount_cents) AS revenue_cents
    FROM payments p
    JOIN orders o ON o.id = p.order_id
    JOIN customers c ON c.id = o.customer_id
    GROUP BY c.city;

GRANT SELECT, INSERT, UPDATE, DELETE ON customers, orders, payments TO shop_app;
GRANT SELECT ON revenue_by_city TO shop_app;
ANALYZE;
