-- Web shops: shops are the tenants; money in cents, events by month, dimension
-- tables that all shops share.

CREATE TABLE currencies (code text PRIMARY KEY, name text NOT NULL, rate numeric NOT NULL);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL, region text NOT NULL);
CREATE TABLE shops (id int PRIMARY KEY, name text NOT NULL, currency text NOT NULL REFERENCES currencies, updated_at timestamptz NOT NULL);
CREATE TABLE customers (id serial PRIMARY KEY, shop_id int NOT NULL REFERENCES shops, name text NOT NULL, country text NOT NULL REFERENCES countries,
	marketing boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE INDEX ON customers (shop_id);
CREATE TABLE categories (id serial PRIMARY KEY, shop_id int NOT NULL REFERENCES shops, parent_id int REFERENCES categories, name text NOT NULL);
CREATE INDEX ON categories (shop_id);
CREATE TABLE products (id serial PRIMARY KEY, shop_id int NOT NULL REFERENCES shops, category_id int REFERENCES categories, title text NOT NULL,
	price_cents int NOT NULL, stock int NOT NULL, status text NOT NULL DEFAULT 'active', updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE INDEX ON products (shop_id);
CREATE INDEX ON products (category_id);
CREATE TABLE orders (id serial PRIMARY KEY, shop_id int NOT NULL REFERENCES shops, customer_id int NOT NULL REFERENCES customers, status text NOT NULL,
	total_cents int NOT NULL, discount_cents int NOT NULL DEFAULT 0, coupon text, placed_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, cancelled_at timestamptz);
CREATE INDEX ON orders (shop_id, placed_at);
CREATE INDEX ON orders (customer_id);
CREATE TABLE order_items (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders ON DELETE CASCADE, product_id int NOT NULL REFERENCES products, quantity int NOT NULL, price_cents int NOT NULL);
CREATE INDEX ON order_items (order_id);
CREATE INDEX ON order_items (product_id);
CREATE TABLE payments (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders ON DELETE CASCADE, provider text NOT NULL, status text NOT NULL, amount_cents int NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE INDEX ON payments (order_id);
CREATE TABLE refunds (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders ON DELETE CASCADE, amount_cents int NOT NULL, reason text NOT NULL, created_at timestamptz NOT NULL);
CREATE INDEX ON refunds (order_id);
CREATE TABLE shipments (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders ON DELETE CASCADE, carrier text NOT NULL, status text NOT NULL, tracking text, shipped_at timestamptz, delivered_at timestamptz);
CREATE INDEX ON shipments (order_id);
CREATE TABLE reviews (id serial PRIMARY KEY, product_id int NOT NULL REFERENCES products, customer_id int NOT NULL REFERENCES customers, stars int NOT NULL, body text, approved boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL);
CREATE INDEX ON reviews (product_id);
CREATE TABLE stock_movements (id serial PRIMARY KEY, product_id int NOT NULL REFERENCES products, delta int NOT NULL, reason text NOT NULL, created_at timestamptz NOT NULL);
CREATE INDEX ON stock_movements (product_id);
CREATE TABLE events (shop_id int NOT NULL REFERENCES shops, visitor int NOT NULL, kind text NOT NULL, product_id int, at timestamptz NOT NULL, properties jsonb NOT NULL DEFAULT '{}') PARTITION BY RANGE (at);
DO $$
BEGIN
	FOR i IN -3 .. 1 LOOP
		EXECUTE format('CREATE TABLE events_%s PARTITION OF events FOR VALUES FROM (%L) TO (%L)', i + 4,
			date_trunc('month', now()) + i * interval '1 month', date_trunc('month', now()) + (i + 1) * interval '1 month');
	END LOOP;
END
$$;
CREATE INDEX ON events (shop_id, at);

CREATE VIEW paid_orders AS SELECT * FROM orders WHERE status IN ('paid', 'shipped', 'delivered') AND cancelled_at IS NULL;
CREATE VIEW order_totals AS SELECT o.id, o.shop_id, o.customer_id, o.placed_at, o.total_cents - coalesce(r.refunded, 0) AS net_cents
	FROM paid_orders o LEFT JOIN (SELECT order_id, sum(amount_cents) AS refunded FROM refunds GROUP BY order_id) r ON r.order_id = o.id;
CREATE VIEW product_sales AS SELECT p.shop_id, p.id AS product_id, p.title, sum(i.quantity) AS sold, sum(i.quantity * i.price_cents) AS cents
	FROM products p JOIN order_items i ON i.product_id = p.id GROUP BY p.shop_id, p.id, p.title;

INSERT INTO currencies VALUES ('EUR', 'Euro', 1), ('USD', 'Dollar', 1.1), ('GBP', 'Pound', 0.85);
INSERT INTO countries VALUES ('DE', 'Germany', 'EU'), ('FR', 'France', 'EU'), ('US', 'United States', 'NA'), ('GB', 'Britain', 'UK');
INSERT INTO shops SELECT i, 'Shop ' || i, (ARRAY['EUR', 'USD', 'GBP'])[1 + i % 3], ago(50) FROM generate_series(1, 12) i;
INSERT INTO customers (shop_id, name, country, marketing, created_at, updated_at)
	SELECT 1 + i % 12, 'Customer ' || i, (ARRAY['DE', 'FR', 'US', 'GB'])[1 + (i / 12) % 4], i % 3 = 0, ago(i % 50), ago(3) FROM generate_series(1, 144) i;
INSERT INTO categories (shop_id, name) SELECT s, n FROM generate_series(1, 12) s, unnest(ARRAY['Shoes', 'Shirts', 'Hats']) n;
INSERT INTO products (shop_id, category_id, title, price_cents, stock, updated_at)
	SELECT c.shop_id, c.id, c.name || ' ' || n, 500 + n * 700, (random() * 30)::int, ago(20) FROM categories c, generate_series(1, 4) n;
INSERT INTO orders (shop_id, customer_id, status, total_cents, discount_cents, coupon, placed_at, updated_at)
	SELECT c.shop_id, c.id, (ARRAY['pending', 'paid', 'paid', 'shipped', 'delivered', 'delivered'])[1 + random() * 5], 1000 + (random() * 20000)::int, CASE WHEN random() < 0.2 THEN 300 ELSE 0 END,
		CASE WHEN random() < 0.2 THEN 'SPRING' END, ago((random() * 45 + c.id * 0 + n * 0)::int), ago(1) FROM customers c, generate_series(1, 3) n;
INSERT INTO order_items (order_id, product_id, quantity, price_cents)
	SELECT o.id, (SELECT p.id FROM products p WHERE p.shop_id = o.shop_id ORDER BY random() + o.id * 0 + n * 0 LIMIT 1), 1 + (random() * 2)::int, 500 + (random() * 3000)::int FROM orders o, generate_series(1, 2) n;
INSERT INTO payments (order_id, provider, status, amount_cents, created_at, updated_at)
	SELECT id, (ARRAY['card', 'paypal'])[1 + random()], CASE WHEN random() < 0.9 THEN 'captured' ELSE 'failed' END, total_cents, placed_at, placed_at FROM orders WHERE status <> 'pending';
INSERT INTO refunds (order_id, amount_cents, reason, created_at) SELECT id, total_cents / 2, (ARRAY['damaged', 'late', 'size'])[1 + random() * 2], placed_at + interval '1 day' FROM orders WHERE status = 'delivered' AND random() < 0.2;
INSERT INTO shipments (order_id, carrier, status, shipped_at, delivered_at) SELECT id, (ARRAY['dhl', 'ups'])[1 + random()], status, placed_at + interval '1 day', CASE WHEN status = 'delivered' THEN placed_at + (1 + random() * 5) * interval '1 day' END
	FROM orders WHERE status IN ('shipped', 'delivered');
INSERT INTO reviews (product_id, customer_id, stars, approved, created_at)
	SELECT p.id, (SELECT min(id) FROM customers c WHERE c.shop_id = p.shop_id), 1 + (random() * 4)::int, random() < 0.8, ago(10) FROM products p, generate_series(1, 2);
INSERT INTO stock_movements (product_id, delta, reason, created_at) SELECT id, stock, 'delivery', ago(20) FROM products;
INSERT INTO events (shop_id, visitor, kind, product_id, at)
	SELECT s, (random() * 20)::int, (ARRAY['view', 'view', 'cart', 'checkout'])[1 + random() * 3], 1 + (random() * 140)::int, ago((random() * 40 + s * 0 + n * 0)::int) FROM generate_series(1, 12) s, generate_series(1, 40) n;

CREATE FUNCTION an_order(t int) RETURNS int LANGUAGE sql AS 'SELECT id FROM orders WHERE shop_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION an_order(t int, s text) RETURNS int LANGUAGE sql AS 'SELECT id FROM orders WHERE shop_id = t AND status = s ORDER BY random() LIMIT 1';
CREATE FUNCTION a_product(t int) RETURNS int LANGUAGE sql AS 'SELECT id FROM products WHERE shop_id = t ORDER BY random() LIMIT 1';
CREATE FUNCTION a_customer(t int) RETURNS int LANGUAGE sql AS 'SELECT id FROM customers WHERE shop_id = t ORDER BY random() LIMIT 1';

-- tenants: SELECT id FROM shops ORDER BY id

-- widget: shop
SELECT s.name, c.name AS currency, c.rate FROM shops s JOIN currencies c ON c.code = s.currency WHERE s.id = $1;
-- widget: revenue
SELECT coalesce(sum(total_cents), 0) AS cents, count(*) AS orders, round(avg(total_cents)) AS average FROM orders
WHERE shop_id = $1 AND status IN ('paid', 'shipped', 'delivered') AND placed_at >= now() - interval '30 days';
-- widget: revenue by day
SELECT (placed_at AT TIME ZONE ($2->>'tz'))::date AS day, count(*) AS orders, sum(total_cents) AS cents FROM paid_orders WHERE shop_id = $1 GROUP BY 1 ORDER BY 1;
-- widget: net revenue
SELECT sum(net_cents) AS net FROM order_totals WHERE shop_id = $1;
-- widget: net by week
SELECT date_trunc('week', placed_at)::date AS week, sum(net_cents) AS net, lag(sum(net_cents)) OVER (ORDER BY date_trunc('week', placed_at)) AS before
FROM order_totals WHERE shop_id = $1 GROUP BY date_trunc('week', placed_at) ORDER BY 1;
-- widget: in dollars
SELECT round(sum(o.total_cents) * max(u.rate) / max(c.rate) / 100, 2) AS dollars FROM orders o JOIN shops s ON s.id = o.shop_id JOIN currencies c ON c.code = s.currency, currencies u
WHERE u.code = 'USD' AND o.shop_id = $1 AND o.status = 'paid';
-- widget: top products
SELECT p.title, sum(i.quantity) AS sold, sum(i.quantity * i.price_cents) AS cents FROM order_items i JOIN orders o ON o.id = i.order_id JOIN products p ON p.id = i.product_id
WHERE o.shop_id = $1 AND o.cancelled_at IS NULL GROUP BY p.id ORDER BY 3 DESC, 1, p.id LIMIT 10;
-- widget: top products, view
SELECT title, sold, cents FROM product_sales WHERE shop_id = $1 ORDER BY cents DESC, product_id LIMIT 5;
-- widget: never sold
SELECT p.title FROM products p WHERE p.shop_id = $1 AND p.deleted_at IS NULL AND NOT EXISTS (SELECT FROM order_items i WHERE i.product_id = p.id) ORDER BY 1, p.id;
-- widget: by category
SELECT c.name, coalesce(sum(i.quantity * i.price_cents), 0) AS cents FROM categories c LEFT JOIN products p ON p.category_id = c.id LEFT JOIN order_items i ON i.product_id = p.id
WHERE c.shop_id = $1 GROUP BY c.id ORDER BY c.name, c.id;
-- widget: category share
SELECT c.name, round(100.0 * sum(i.quantity) / sum(sum(i.quantity)) OVER (), 1) AS percent FROM order_items i JOIN products p ON p.id = i.product_id JOIN categories c ON c.id = p.category_id
WHERE c.shop_id = $1 GROUP BY c.id ORDER BY c.name, c.id;
-- widget: orders by status
SELECT status, count(*), sum(total_cents) AS cents FROM orders WHERE shop_id = $1 GROUP BY ROLLUP (status) ORDER BY status NULLS LAST;
-- widget: to ship
SELECT o.id, c.name, o.total_cents, count(*) OVER () AS total FROM orders o JOIN customers c ON c.id = o.customer_id
WHERE o.shop_id = $1 AND o.status = 'paid' AND NOT EXISTS (SELECT 1 FROM shipments s WHERE s.order_id = o.id) ORDER BY o.placed_at, o.id LIMIT 10;
-- widget: latest orders
SELECT o.id, c.name, o.status, o.total_cents, (SELECT count(*) FROM order_items i WHERE i.order_id = o.id) AS items FROM orders o JOIN customers c ON c.id = o.customer_id
WHERE o.shop_id = $1 ORDER BY o.placed_at DESC, o.id DESC LIMIT 10;
-- widget: refund rate
SELECT round(100.0 * count(DISTINCT r.order_id) / nullif(count(DISTINCT o.id), 0), 1) AS percent FROM orders o LEFT JOIN refunds r ON r.order_id = o.id WHERE o.shop_id = $1 AND o.status <> 'pending';
-- widget: refunds by reason
SELECT r.reason, count(*), sum(r.amount_cents) AS cents FROM refunds r JOIN orders o ON o.id = r.order_id WHERE o.shop_id = $1 GROUP BY 1 ORDER BY 1;
-- widget: payments
SELECT p.provider, count(*) FILTER (WHERE p.status = 'captured') AS captured, count(*) FILTER (WHERE p.status = 'failed') AS failed FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.shop_id = $1 GROUP BY 1 ORDER BY 1;
-- widget: failed payments
SELECT p.id, p.amount_cents, c.name FROM payments p JOIN orders o ON o.id = p.order_id JOIN customers c ON c.id = o.customer_id WHERE c.shop_id = $1 AND p.status = 'failed' ORDER BY p.created_at DESC, p.id LIMIT 10;
-- widget: delivery time
SELECT s.carrier, round(avg(extract(epoch FROM s.delivered_at - s.shipped_at)) / 3600) AS hours, count(*) FROM shipments s JOIN orders o ON o.id = s.order_id
WHERE o.shop_id = $1 AND s.status = 'delivered' GROUP BY 1 ORDER BY 1;
-- widget: best customers
SELECT c.name, t.orders, t.cents FROM customers c JOIN (SELECT customer_id, count(*) AS orders, sum(total_cents) AS cents FROM orders WHERE cancelled_at IS NULL GROUP BY customer_id) t ON t.customer_id = c.id
WHERE c.shop_id = $1 AND c.deleted_at IS NULL ORDER BY t.cents DESC, c.id LIMIT 10;
-- widget: returning customers
WITH n AS (SELECT customer_id, count(*) AS orders FROM orders WHERE shop_id = $1 GROUP BY 1)
SELECT count(*) FILTER (WHERE orders > 1) AS returning, count(*) AS all, round(100.0 * count(*) FILTER (WHERE orders > 3) / nullif(count(*), 0), 1) AS loyal FROM n;
-- widget: first orders
SELECT DISTINCT ON (o.customer_id) o.customer_id, o.id, o.placed_at FROM orders o WHERE o.shop_id = $1 ORDER BY o.customer_id, o.placed_at, o.id;
-- widget: customers by region
SELECT k.region, count(c.id) FROM countries k LEFT JOIN customers c ON c.country = k.code AND c.shop_id = $1 AND c.deleted_at IS NULL GROUP BY k.region ORDER BY k.region;
-- widget: customers without orders
SELECT count(*) FROM customers c WHERE c.shop_id = $1 AND c.deleted_at IS NULL AND c.id NOT IN (SELECT customer_id FROM orders WHERE shop_id = $1);
-- widget: low stock
SELECT title, stock FROM products WHERE shop_id = $1 AND stock < 5 AND status = 'active' AND deleted_at IS NULL ORDER BY stock, title, id;
-- widget: stock value
SELECT sum(stock * price_cents) AS cents FROM products WHERE shop_id = $1 AND deleted_at IS NULL;
-- widget: stock by movements
SELECT p.title, p.stock, m.delta FROM products p LEFT JOIN LATERAL (SELECT sum(delta) AS delta FROM stock_movements s WHERE s.product_id = p.id) m ON true
WHERE p.shop_id = $1 ORDER BY p.title, p.id;
-- widget: stars
SELECT p.title, round(avg(r.stars), 1) AS stars, count(*) FROM reviews r JOIN products p ON p.id = r.product_id WHERE p.shop_id = $1 AND r.approved GROUP BY p.id ORDER BY 2 DESC, 3 DESC, 1, p.id LIMIT 10;
-- widget: reviews to approve
SELECT count(*) FROM reviews WHERE NOT approved AND product_id IN (SELECT id FROM products WHERE shop_id = $1);
-- widget: funnel
SELECT kind, count(*) AS events, count(DISTINCT visitor) AS visitors FROM events WHERE shop_id = $1 AND at >= now() - interval '30 days' GROUP BY kind ORDER BY kind;
-- widget: views by day
SELECT (at AT TIME ZONE ($2->>'tz'))::date AS day, count(*) FROM events WHERE shop_id = $1 AND kind = 'view' AND at >= now() - interval '15 days' GROUP BY 1 ORDER BY 1;
-- widget: viewed products
SELECT p.title, count(*) FROM events e JOIN products p ON p.id = e.product_id AND p.shop_id = e.shop_id WHERE e.shop_id = $1 AND e.kind = 'view' GROUP BY p.id ORDER BY 2 DESC, 1, p.id LIMIT 10;
-- widget: months
SELECT coalesce(o.month, e.month) AS month, o.orders, e.checkouts FROM (SELECT date_trunc('month', placed_at)::date AS month, count(*) AS orders FROM orders WHERE shop_id = $1 GROUP BY 1) o
FULL JOIN (SELECT date_trunc('month', at)::date AS month, count(*) AS checkouts FROM events WHERE shop_id = $1 AND kind = 'checkout' GROUP BY 1) e ON e.month = o.month ORDER BY 1;
-- widget: activity
SELECT * FROM (
	SELECT 'order' AS what, id, placed_at AS at FROM orders WHERE shop_id = $1
	UNION ALL SELECT 'refund', r.id, r.created_at FROM refunds r JOIN orders o ON o.id = r.order_id WHERE o.shop_id = $1
	UNION ALL SELECT 'review', r.id, r.created_at FROM reviews r JOIN products p ON p.id = r.product_id WHERE p.shop_id = $1
) a ORDER BY at DESC, what, id DESC LIMIT 12;
-- widget: coupons
SELECT coupon, count(*), sum(discount_cents) AS cents FROM orders WHERE shop_id = $1 AND coupon IS NOT NULL GROUP BY 1 ORDER BY 1;
-- widget: bought together
SELECT a.product_id AS one, b.product_id AS other, count(*) FROM order_items a JOIN order_items b ON b.order_id = a.order_id AND b.product_id > a.product_id JOIN orders o ON o.id = a.order_id
WHERE o.shop_id = $1 GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 3 DESC, 1, 2 LIMIT 10;

-- write 22: an order
WITH o AS (INSERT INTO orders (shop_id, customer_id, status, total_cents, coupon, placed_at, updated_at)
	SELECT :tenant, a_customer(:tenant), CASE WHEN random() < 0.7 THEN 'paid' ELSE 'pending' END, 900 + (random() * 9000)::int, CASE WHEN random() < 0.2 THEN 'SPRING' END, ago(0), now() RETURNING *),
p AS (INSERT INTO payments (order_id, provider, status, amount_cents, created_at, updated_at) SELECT id, 'card', 'captured', total_cents, placed_at, now() FROM o WHERE status = 'paid')
INSERT INTO order_items (order_id, product_id, quantity, price_cents) SELECT o.id, (SELECT a_product(:tenant)), 1 + (random() * 2)::int, 1200 FROM o, generate_series(1, 2);
-- write 60: an event
INSERT INTO events (shop_id, visitor, kind, product_id, at) VALUES (:tenant, random() * 40, (ARRAY['view', 'view', 'view', 'cart', 'checkout'])[1 + random() * 4], (SELECT a_product(:tenant)), ago(0));
-- write 10: stock
UPDATE products SET stock = stock - 1, updated_at = now() WHERE id = (SELECT a_product(:tenant)) AND stock > 0;
-- write 5: a delivery
WITH p AS (UPDATE products SET stock = stock + 10, updated_at = now() WHERE id = (SELECT a_product(:tenant)) RETURNING id)
INSERT INTO stock_movements (product_id, delta, reason, created_at) SELECT id, 10, 'delivery', ago(0) FROM p;
-- write 10: shipped
WITH o AS (UPDATE orders SET status = 'shipped', updated_at = now() WHERE id = (SELECT an_order(:tenant, 'paid')) RETURNING id)
INSERT INTO shipments (order_id, carrier, status, shipped_at) SELECT id, 'dhl', 'shipped', ago(0) FROM o;
-- write 8: delivered
WITH s AS (UPDATE shipments SET status = 'delivered', delivered_at = shipped_at + interval '2 days' WHERE order_id = (SELECT an_order(:tenant, 'shipped')) RETURNING order_id)
UPDATE orders SET status = 'delivered', updated_at = now() WHERE id IN (SELECT order_id FROM s);
-- write 5: tracking
UPDATE shipments SET tracking = md5(random()::text) WHERE order_id = (SELECT an_order(:tenant, 'shipped'));
-- write 6: paid
WITH o AS (UPDATE orders SET status = 'paid', updated_at = now() WHERE id = (SELECT an_order(:tenant, 'pending')) RETURNING *)
INSERT INTO payments (order_id, provider, status, amount_cents, created_at, updated_at) SELECT id, 'paypal', 'captured', total_cents, ago(0), now() FROM o;
-- write 3: a failed payment
INSERT INTO payments (order_id, provider, status, amount_cents, created_at, updated_at) SELECT id, 'card', 'failed', total_cents, ago(0), now() FROM orders WHERE id = (SELECT an_order(:tenant, 'pending'));
-- write 8: an order is touched
UPDATE orders SET updated_at = now() WHERE id = (SELECT an_order(:tenant));
-- write 3: cancelled
UPDATE orders SET status = 'cancelled', cancelled_at = now(), updated_at = now() WHERE id = (SELECT an_order(:tenant, 'pending'));
-- write 3: a refund
INSERT INTO refunds (order_id, amount_cents, reason, created_at) SELECT id, total_cents / 4, 'late', ago(0) FROM orders WHERE id = (SELECT an_order(:tenant, 'delivered'));
-- write 4: a review
INSERT INTO reviews (product_id, customer_id, stars, approved, created_at) VALUES ((SELECT a_product(:tenant)), (SELECT a_customer(:tenant)), 1 + (random() * 4)::int, random() < 0.3, ago(0));
-- write 3: a review is approved
UPDATE reviews SET approved = true WHERE id = (SELECT r.id FROM reviews r JOIN products p ON p.id = r.product_id WHERE p.shop_id = :tenant AND NOT approved ORDER BY random() LIMIT 1);
-- write 4: a customer
INSERT INTO customers (shop_id, name, country, created_at, updated_at) VALUES (:tenant, 'New ' || (random() * 1000)::int, 'FR', ago(0), now());
-- write 6: a customer is touched
UPDATE customers SET updated_at = now(), marketing = random() < 0.5 WHERE id = (SELECT a_customer(:tenant));
-- write 1: a customer is deleted softly
UPDATE customers SET deleted_at = now(), updated_at = now() WHERE id = (SELECT a_customer(:tenant));
-- write 2: a price
UPDATE products SET price_cents = price_cents + 100, updated_at = now() WHERE id = (SELECT a_product(:tenant));
-- write 1: a product
INSERT INTO products (shop_id, category_id, title, price_cents, stock, updated_at) SELECT :tenant, (SELECT min(id) FROM categories WHERE shop_id = :tenant), 'New ' || (random() * 1000)::int, 999, 3, now();
-- write 1: a product is deleted softly
UPDATE products SET deleted_at = now(), updated_at = now() WHERE id = (SELECT a_product(:tenant));
-- write 1: an order is deleted
DELETE FROM orders WHERE id = (SELECT an_order(:tenant, 'cancelled'));
-- write 1: old events are deleted
DELETE FROM events WHERE shop_id = :tenant AND at < now() - interval '35 days';
-- write 0.5: a rate
UPDATE currencies SET rate = rate + 0.01 WHERE code = 'GBP';
-- write 0.3: a product goes to another shop
UPDATE products SET shop_id = :other, category_id = NULL WHERE id = (SELECT a_product(:tenant));
-- write 0.5: a category is renamed
UPDATE categories SET name = name || '''' WHERE id = (SELECT min(id) FROM categories WHERE shop_id = :tenant);
