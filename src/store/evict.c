/*-------------------------------------------------------------------------
 *
 * evict.c
 *		Making room.
 *
 * Each partition has its entries in the order of insertion, and a hand of its
 * own (sieve.h); the partitions take turns.
 *
 * Entries that no longer serve anybody go first.  To find them a scout goes
 * ahead of the hand, round and round: at each eviction it looks at the next
 * entries, and takes the first that has expired, has been found invalid, or of
 * whose sources there are changes that it has not seen.  (The last is for
 * dc_store_is_current to say.  It may be wrong either way; that costs a
 * needless miss, or room for something useless.)  When it has seen all entries
 * and found nothing it looks at a few only, until it finds something.  So after a
 * time in which all served, one in FEW_LOOKS of a partition's entries may give way
 * before the first that has changed meanwhile is found.
 *
 * What one eviction does is bounded: LOOKS by the scout, and PASSES by
 * the hand.  If the hand has passed so many it takes the one of them that was
 * the nearest to giving way.
 *
 * Locking: one partition exclusively, one at a time; the lock of the memory alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "stats.h"
#include "store/sieve.h"

#include "utils/timestamp.h"

/* At one eviction, the hand passes so many entries at most. */
#define PASSES 64

/* ... and the scout looks at so many, or, if a whole round was in vain, so few. */
#define LOOKS 64
#define FEW_LOOKS 16

bool		(*dc_store_is_current) (const DcSharedEntry *entry) = NULL;

static bool
is_useless(DcSharedEntry *entry, TimestampTz now)
{
	return (pg_atomic_read_u32(&entry->marks) & DC_MARK_OUTDATED) ||
		now >= entry->expires_at ||
		(dc_store_is_current != NULL && !dc_store_is_current(entry));
}

static DcRef
next_in_turn(const DcPartition *partition, DcRef at)
{
	return at != 0 ? at : partition->age.oldest;
}

/* Let the scout look for an entry that serves nobody; 0: not seen. */
static DcRef
scout(DcPartition *partition, TimestampTz now)
{
	uint32		looks = partition->in_vain < partition->nentries ? LOOKS : FEW_LOOKS;

	for (uint32 i = Min(looks, partition->nentries); i > 0; i--)
	{
		DcRef		at = next_in_turn(partition, partition->scout);
		DcSharedEntry *entry = dc_entry_at(at);

		partition->scout = entry->links[DC_CHAIN_AGE].newer;
		if (is_useless(entry, now))
		{
			partition->in_vain = 0;
			return at;
		}
		partition->in_vain++;
	}
	return 0;
}

/* Move the hand to the entry that is to give way. */
static DcRef
move_hand(DcPartition *partition)
{
	DcRef		least = 0;
	int			least_left = PG_INT32_MAX;

	for (int i = 0; i < PASSES; i++)
	{
		DcRef		at = next_in_turn(partition, partition->hand);
		DcSharedEntry *entry = dc_entry_at(at);
		bool		visited = (pg_atomic_read_u32(&entry->marks) & DC_MARK_VISITED) != 0;
		int			left = (entry->credit & 0xF) + (visited ? DC_SIEVE_MOST + 1 : 0);

		partition->hand = entry->links[DC_CHAIN_AGE].newer;
		if (!dc_sieve_passes(&entry->credit, visited))
			return at;
		if (visited)
			pg_atomic_fetch_and_u32(&entry->marks, ~DC_MARK_VISITED);
		if (left < least_left)
		{
			least = at;
			least_left = left;
		}
	}
	return least;
}

/* Evict one entry of a partition; the bytes it took, 0 if there is none. */
static Size
evict_from(DcPartition *partition, TimestampTz now)
{
	Size		freed = 0;

	/* a look without the lock: who is late finds it the next time */
	if (partition->nentries == 0)
		return 0;
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (partition->nentries > 0)
	{
		DcRef		at = scout(partition, now);
		DcStoreEvent event = DC_STORE_EVICTED_USELESS;

		if (at == 0)
		{
			at = move_hand(partition);
			event = DC_STORE_EVICTED;
		}
		freed = dc_store_evict_locked(partition, at, event, now);
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
	TimestampTz now = GetCurrentTimestamp();
	Size		freed = 0;
	int			empty = 0;

	while (freed < wanted && empty < DC_PARTITIONS)
	{
		uint32		turn = pg_atomic_fetch_add_u32(&dc_store->evict_next, 1);
		Size		got = evict_from(&dc_store->partitions[turn % DC_PARTITIONS], now);

		empty = got == 0 ? empty + 1 : 0;
		freed += got;
	}
	return freed;
}

/*
 * Allocate, evicting until there is room or nothing is left to evict; 0: there is
 * no room.  The first piece has at least "head" bytes.
 */
DcRef
dc_evict_alloc(Size head, Size size)
{
	for (;;)
	{
		DcRef		ref = dc_pieces_alloc(head, size);

		if (ref != 0 || dc_evict(size) == 0)
			return ref;
	}
}
