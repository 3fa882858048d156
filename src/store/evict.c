/*-------------------------------------------------------------------------
 *
 * evict.c
 *		Making room.
 *
 * SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024), a queue and a
 * hand for each partition: entries stay in the order of their insertion, a hit
 * only sets "visited", and the hand goes from the oldest to the newest,
 * clearing the marks it meets and taking the first entry without one.  The
 * partitions take turns.
 *
 * Locking: one partition exclusively, one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "stats.h"

/* Evict one entry of a partition; the bytes it took, 0 if there is none. */
static Size
evict_from(DcPartition *partition)
{
	DcRef		at;
	DcSharedEntry *entry;
	Size		freed = 0;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (partition->nentries > 0)
	{
		at = partition->hand;
		for (;;)
		{
			uint32		marks;

			if (at == 0)
				at = partition->age.oldest;
			entry = dc_entry_at(at);
			marks = pg_atomic_read_u32(&entry->marks);
			if ((marks & DC_MARK_OUTDATED) || !(marks & DC_MARK_VISITED))
				break;
			pg_atomic_fetch_and_u32(&entry->marks, ~DC_MARK_VISITED);
			at = entry->links[DC_CHAIN_AGE].newer;
		}
		partition->hand = entry->links[DC_CHAIN_AGE].newer;
		freed = dc_entry_size(entry);
		dc_stats_add(dc_stats_get(entry->database, entry->widget),
					 DC_COUNT_EVICTIONS, 1);
		dc_store_unlink_locked(partition, at, entry);
	}
	LWLockRelease(&partition->lock);
	return freed;
}

/*
 * Evict entries that take "wanted" bytes together, or all there are.  Returns
 * the bytes freed; 0 means that nothing was left to evict.
 */
Size
dc_evict(Size wanted)
{
	Size		freed = 0;
	int			empty = 0;

	while (freed < wanted && empty < DC_PARTITIONS)
	{
		uint32		turn = pg_atomic_fetch_add_u32(&dc_store->evict_next, 1);
		Size		got = evict_from(&dc_store->partitions[turn % DC_PARTITIONS]);

		empty = got == 0 ? empty + 1 : 0;
		freed += got;
	}
	return freed;
}
