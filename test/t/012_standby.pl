# A standby computes every answer, and says so. Promoted, it caches; and nothing
# it knew before makes an answer wrong.

use strict;
use warnings;

use Dashcache::Test;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1);

$primary->sql(q{
	CREATE TABLE item (id int PRIMARY KEY, tenant int, v int);
	INSERT INTO item VALUES (1, 1, 10), (2, 2, 20);
	SET client_min_messages = warning;
	SELECT dashcache_define('sum', 'SELECT sum(v) AS v FROM item WHERE tenant = $1');
});
$primary->backup('backup');

my $standby = Dashcache::Test::Node->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

my $answer = q{
	SELECT concat_ws('|', c.data->>'v', c.source, c.reason,
		(c.data->>'v')::int = (SELECT sum(v) FROM item WHERE tenant = 1))
	FROM dashcache_fetch(1) c};

is($primary->sql($answer), '10|database|cold|t', 'filled on the primary');
is($primary->sql($answer), '10|cache|t', 'served on the primary');
$primary->wait_for_catchup($standby);

is($standby->sql($answer), '10|database|standby|t', 'a standby computes');
is($standby->sql($answer), '10|database|standby|t', 'every time');
like($standby->sql('SELECT caching_paused_by FROM dashcache_status'),
	qr/standby/, 'dashcache_status says why');
is($standby->sql('SELECT in_recovery, entries FROM dashcache_status'),
	't|0', 'nothing is stored on a standby');
is($standby->sql('SELECT dashcache_purge()'), '0', 'there is nothing to purge');
is($standby->sql("SELECT dashcache_get(1, widget => 'sum', refresh => true)->>'v'"),
	'10', 'refresh works on a standby');

$primary->sql('UPDATE item SET v = 11 WHERE id = 1');
$primary->wait_for_catchup($standby);
is($standby->sql($answer), '11|database|standby|t', 'a standby gives what it has replayed');

# A reader whose snapshot is of the recovery, and a transaction that was
# prepared on the primary.
$primary->sql("BEGIN; UPDATE item SET v = 12 WHERE id = 1; PREPARE TRANSACTION 'before'");
$primary->wait_for_catchup($standby);
my $old = $standby->session;
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query($answer), '11|database|standby|t', 'a snapshot of the recovery');

$primary->stop('immediate');
$standby->promote;
like($old->query($answer), qr/^11\|database\|.*\|t$/, 'is not served from the cache after the promotion');
like($standby->sql($answer), qr/^11\|\w+\|.*t$/, 'promoted, with a prepared transaction');
like($standby->sql('SELECT caching_paused_by FROM dashcache_status'),
	qr/before/, 'which dashcache_status names');
$standby->sql("COMMIT PREPARED 'before'");
like($standby->sql($answer), qr/^12\|\w+\|.*t$/, 'its commit is seen');
like($old->query($answer), qr/^11\|\w+\|.*t$/, 'not by the old snapshot');
$old->query('COMMIT');

$standby->sql($answer);
is($standby->sql($answer), '12|cache|t', 'then the promoted server caches');
$standby->sql('UPDATE item SET v = 13 WHERE id = 1');
is($standby->sql($answer), '13|database|changed|t', 'and notices writes');
is($standby->sql($answer), '13|cache|t', 'as any primary');

$standby->stop('fast');
done_testing();
