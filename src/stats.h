/*-------------------------------------------------------------------------
 *
 * stats.h
 *		Shared counters, a set for each widget.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STATS_H
#define DASHCACHE_STATS_H

#include "postgres.h"

#include "hit_path.h"

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "port/atomics.h"

typedef enum DcCounter
{
	DC_COUNT_HITS,				/* these two are counted by dc_stats_hit() */
	DC_COUNT_SAVED_US,			/* computing time that hits saved */
	DC_COUNT_STALE_HITS,
	DC_COUNT_MISSES,			/* computed, because no entry would do */
	DC_COUNT_BYPASSES,			/* computed, because none was allowed to do */
	DC_COUNT_FILLS,
	DC_COUNT_ERRORS,
	DC_COUNT_EVICTIONS,
	DC_COUNT_CHANGES,			/* entries found changed */
	DC_COUNT_COMPUTE_US,		/* microseconds, total */
	DC_COUNT_COMPUTE_US_MAX,
	DC_COUNT_ENTRIES,			/* a gauge: entries held now */
	DC_COUNT_BYTES,				/* a gauge: payload bytes held now */
	DC_COUNT_STORED_BYTES		/* a gauge: bytes of memory that takes */
} DcCounter;

#define DC_COUNTERS (DC_COUNT_STORED_BYTES + 1)

#define DC_STATS_PARTS 4

/*
 * The counters of one widget.  "owner" is the widget that the slot belongs
 * to, 0 while it is free; it changes only under the stats lock and is read
 * without.  The counters are atomics, read and written without a lock.
 */
typedef struct DcSharedStats
{
	pg_atomic_uint64 owner;
	pg_atomic_uint64 counter[DC_COUNTERS];
	char		pad[2 * 64 - 8 * (DC_COUNTERS + 1)];	/* to whole cache lines */

	/*
	 * What hits count, in parts, so that sessions that hit at once do not
	 * pass one cache line to and fro.
	 */
	struct
	{
		pg_atomic_uint64 hits;
		pg_atomic_uint64 saved_us;
		char		pad[64 - 16];
	}			part[DC_STATS_PARTS];
} DcSharedStats;

extern Size dc_stats_shmem_size(Size memory);
extern void dc_stats_shmem_init(void *place, Size memory);
extern void dc_stats_attach(void *place);

extern DcSharedStats *dc_stats_get(Oid database, uint32 widget);
extern DcSharedStats *dc_stats_common(void);
extern void dc_stats_release(Oid database, uint32 widget);
extern void dc_stats_forget(Oid database);
extern void dc_stats_reset(Oid database);
extern TimestampTz dc_stats_since(void);

/* "counters": as many as DC_COUNTERS */
typedef void (*DcStatsVisit) (Oid database, uint32 widget, const uint64 *counters,
							  void *arg);

extern void dc_stats_scan(DcStatsVisit visit, void *arg);
extern void dc_stats_restore(Oid database, uint32 widget, const uint64 *counters);
extern void dc_stats_set_since(TimestampTz since);

static inline void
dc_stats_add(DcSharedStats *stats, DcCounter counter, int64 by)
{
	pg_atomic_fetch_add_u64(&stats->counter[counter], by);
}

/* Which part this session counts in. */
#define DC_STATS_MY_PART (MyProcPid % DC_STATS_PARTS)

/* A hit may be about to be counted. */
static inline void
dc_stats_prefetch(DcSharedStats *stats)
{
	dc_prefetch_write(&stats->part[DC_STATS_MY_PART]);
}

/* Count a hit, and the microseconds of computing that it has saved. */
static inline void
dc_stats_hit(DcSharedStats *stats, uint32 saved_us)
{
	int			part = DC_STATS_MY_PART;

	pg_atomic_fetch_add_u64(&stats->part[part].hits, 1);
	pg_atomic_fetch_add_u64(&stats->part[part].saved_us, saved_us);
}

extern uint64 dc_stats_read(DcSharedStats *stats, DcCounter counter);
extern void dc_stats_raise(DcSharedStats *stats, DcCounter counter, uint64 to);

#endif							/* DASHCACHE_STATS_H */
