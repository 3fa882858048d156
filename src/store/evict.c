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
	dsa_pointer at;
	DcSharedEntry *entry;
	Size		freed = 0;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (partition->nentries > 0)
	{
		at = partition->hand;
		for (;;)
		{
			if (!DsaPointerIsValid(at))
				at = partition->oldest;
			entry = dc_entry_at(at);
			if (pg_atomic_read_u32(&entry->outdated) != 0 ||
				pg_atomic_read_u32(&entry->visited) == 0)
				break;
			pg_atomic_write_u32(&entry->visited, 0);
			at = entry->newer;
		}
		partition->hand = entry->newer;
		freed = DC_ENTRY_SIZE(entry);
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
