/*-------------------------------------------------------------------------
 *
 * stats.c
 *		Shared counters, a set for each widget.
 *
 * The sets live in an open-addressed table of fixed size.  A widget claims a
 * slot when it is first counted and gives it back when it is dropped.  Should
 * the table be full, what finds no slot is counted together in one set that
 * no view shows, so that counting never fails and never waits.  It may find a slot
 * later, when another one was given back.
 *
 * Locking: "lock" protects the claiming, releasing and resetting of slots.
 * Finding a claimed slot takes no lock: a slot keeps its place as long as it
 * is claimed, and a caller that keeps a pointer over the drop of its widget
 * merely adds to a counter that somebody else resets on claiming it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mix.h"
#include "stats.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* Marks a slot that was released: a search goes on behind it. */
#define RELEASED PG_UINT64_MAX

typedef struct SharedStatsTable
{
	LWLock		lock;
	int			tranche;
	uint32		nslots;			/* a power of two; set at start */
	pg_atomic_uint64 since;		/* TimestampTz of the latest reset */
	DcSharedStats overflow pg_attribute_aligned(128);
	DcSharedStats slots[FLEXIBLE_ARRAY_MEMBER];
} SharedStatsTable;

static SharedStatsTable *table = NULL;

static uint32
slots_for(Size memory)
{
	Size		wanted = memory / (64 * 1024);

	return pg_nextpower2_32((uint32) Min(Max(wanted, 128), 16384));
}

/* How many bytes of the "memory" bytes of dashcache the counters take. */
Size
dc_stats_shmem_size(Size memory)
{
	return MAXALIGN(offsetof(SharedStatsTable, slots) +
					sizeof(DcSharedStats) * slots_for(memory));
}

static bool
is_gauge(DcCounter counter)
{
	return counter >= DC_COUNT_ENTRIES;
}

static void
zero_counters(DcSharedStats *stats, bool gauges)
{
	for (int i = 0; i < DC_COUNTERS; i++)
	{
		if (gauges || !is_gauge(i))
			pg_atomic_write_u64(&stats->counter[i], 0);
	}
	for (int i = 0; i < DC_STATS_PARTS; i++)
	{
		pg_atomic_write_u64(&stats->part[i].hits, 0);
		pg_atomic_write_u64(&stats->part[i].saved_us, 0);
	}
}

static void
init_slot(DcSharedStats *stats)
{
	pg_atomic_init_u64(&stats->owner, 0);
	for (int i = 0; i < DC_COUNTERS; i++)
		pg_atomic_init_u64(&stats->counter[i], 0);
	for (int i = 0; i < DC_STATS_PARTS; i++)
	{
		pg_atomic_init_u64(&stats->part[i].hits, 0);
		pg_atomic_init_u64(&stats->part[i].saved_us, 0);
	}
}

/* Make an empty table at "place"; once, by the postmaster. */
void
dc_stats_shmem_init(void *place, Size memory)
{
	table = place;
	table->tranche = LWLockNewTrancheId();
	LWLockInitialize(&table->lock, table->tranche);
	table->nslots = slots_for(memory);
	pg_atomic_init_u64(&table->since, GetCurrentTimestamp());
	init_slot(&table->overflow);
	for (uint32 i = 0; i < table->nslots; i++)
		init_slot(&table->slots[i]);
}

/* Learn where the table is; in every process. */
void
dc_stats_attach(void *place)
{
	table = place;
	LWLockRegisterTranche(table->tranche, "dashcache_stats");
}

/*
 * Find the slot of "owner", or where it would be claimed.  With the lock held
 * the answer is exact; without, a slot that is claimed at this moment may be
 * missed, which the caller repairs by asking again with the lock.
 */
static DcSharedStats *
find_slot(uint64 owner, DcSharedStats **free_slot)
{
	uint32		mask = table->nslots - 1;
	uint32		start = (uint32) dc_mix64(owner) & mask;

	*free_slot = NULL;
	for (uint32 i = 0; i < table->nslots; i++)
	{
		DcSharedStats *slot = &table->slots[(start + i) & mask];
		uint64		found = pg_atomic_read_u64(&slot->owner);

		if (found == owner)
			return slot;
		if (found == RELEASED && *free_slot == NULL)
			*free_slot = slot;
		if (found == 0)
		{
			if (*free_slot == NULL)
				*free_slot = slot;
			return NULL;
		}
	}
	return NULL;
}

/*
 * The counters of a widget, claimed if need be.  Never fails: see the file
 * header for a full table.  May take the stats lock; throws nothing.
 */
DcSharedStats *
dc_stats_get(Oid database, uint32 widget)
{
	uint64		owner = ((uint64) database << 32) | widget;
	DcSharedStats *free_slot;
	DcSharedStats *slot = find_slot(owner, &free_slot);

	if (slot != NULL)
		return slot;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	slot = find_slot(owner, &free_slot);
	if (slot == NULL && free_slot != NULL)
	{
		slot = free_slot;
		zero_counters(slot, true);
		pg_atomic_write_u64(&slot->owner, owner);
	}
	LWLockRelease(&table->lock);

	return slot != NULL ? slot : &table->overflow;
}

/* Where is counted together what has found no slot. */
DcSharedStats *
dc_stats_common(void)
{
	return &table->overflow;
}

/* Give back the slot of a widget that is gone.  Throws nothing. */
void
dc_stats_release(Oid database, uint32 widget)
{
	uint64		owner = ((uint64) database << 32) | widget;
	DcSharedStats *free_slot;
	DcSharedStats *slot;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	slot = find_slot(owner, &free_slot);
	if (slot != NULL)
		pg_atomic_write_u64(&slot->owner, RELEASED);
	LWLockRelease(&table->lock);
}

/* Give back the slots of all widgets of a database.  Throws nothing. */
void
dc_stats_forget(Oid database)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < table->nslots; i++)
	{
		uint64		owner = pg_atomic_read_u64(&table->slots[i].owner);

		if (owner != 0 && owner != RELEASED && (Oid) (owner >> 32) == database)
			pg_atomic_write_u64(&table->slots[i].owner, RELEASED);
	}
	LWLockRelease(&table->lock);
}

/* Set the counters of all widgets of a database to zero, gauges excepted. */
void
dc_stats_reset(Oid database)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (uint32 i = 0; i < table->nslots; i++)
	{
		uint64		owner = pg_atomic_read_u64(&table->slots[i].owner);

		if (owner != 0 && owner != RELEASED && (Oid) (owner >> 32) == database)
			zero_counters(&table->slots[i], false);
	}
	pg_atomic_write_u64(&table->since, GetCurrentTimestamp());
	LWLockRelease(&table->lock);
}

/* When the counters were last reset. */
TimestampTz
dc_stats_since(void)
{
	return (TimestampTz) pg_atomic_read_u64(&table->since);
}

/* Visit the counters of all widgets.  One that is counted now is a little off. */
void
dc_stats_scan(DcStatsVisit visit, void *arg)
{
	for (uint32 i = 0; i < table->nslots; i++)
	{
		DcSharedStats *slot = &table->slots[i];
		uint64		owner = pg_atomic_read_u64(&slot->owner);
		uint64		counters[DC_COUNTERS];

		if (owner == 0 || owner == RELEASED)
			continue;
		for (int c = 0; c < DC_COUNTERS; c++)
			counters[c] = dc_stats_read(slot, c);
		visit((Oid) (owner >> 32), (uint32) owner, counters, arg);
	}
}

/* Set the counters of a widget, gauges excepted; before anybody counts. */
void
dc_stats_restore(Oid database, uint32 widget, const uint64 *counters)
{
	DcSharedStats *stats = dc_stats_get(database, widget);

	for (int i = 0; i < DC_COUNTERS && stats != &table->overflow; i++)
	{
		if (!is_gauge(i))
			pg_atomic_write_u64(&stats->counter[i], counters[i]);
	}
}

/* Say when the counters were last reset. */
void
dc_stats_set_since(TimestampTz since)
{
	pg_atomic_write_u64(&table->since, (uint64) since);
}

/* The value of a counter. */
uint64
dc_stats_read(DcSharedStats *stats, DcCounter counter)
{
	uint64		value = pg_atomic_read_u64(&stats->counter[counter]);

	for (int i = 0; i < DC_STATS_PARTS; i++)
	{
		if (counter == DC_COUNT_HITS)
			value += pg_atomic_read_u64(&stats->part[i].hits);
		else if (counter == DC_COUNT_SAVED_US)
			value += pg_atomic_read_u64(&stats->part[i].saved_us);
	}
	return value;
}

/* Raise a counter that keeps a maximum. */
void
dc_stats_raise(DcSharedStats *stats, DcCounter counter, uint64 to)
{
	uint64		seen = pg_atomic_read_u64(&stats->counter[counter]);

	while (seen < to &&
		   !pg_atomic_compare_exchange_u64(&stats->counter[counter], &seen, to))
		;
}
