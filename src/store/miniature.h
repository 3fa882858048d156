/*-------------------------------------------------------------------------
 *
 * miniature.h
 *		Small likenesses of the store, at several sizes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_MINIATURE_H
#define DASHCACHE_MINIATURE_H

#include "postgres.h"

/* The sizes that are simulated, in quarters of the size that there is. */
#define DC_MINIATURE_QUARTERS {1, 2, 4, 8, 16, 32}
#define DC_MINIATURES 6
#define DC_MINIATURE_ACTUAL 2	/* the size that there is */

/* An access to an entry, as the store has seen it. */
typedef struct DcMiniatureAccess
{
	uint32		hash;			/* of the key */
	uint32		digest;			/* what the answer was computed from, where it
								 * was; else 0 */
	uint32		size;
	uint32		compute_us;
	uint32		now;			/* in seconds */
	uint32		life;			/* seconds from then on; PG_UINT32_MAX: no end */
	bool		asked;			/* a miss could have been a hit; else it was
								 * computed whatever there was */
	bool		stale;			/* its end did not matter */
} DcMiniatureAccess;

typedef struct DcMiniatureNode DcMiniatureNode;

/* One likeness.  Entries are numbered from 1; 0 is none. */
typedef struct DcMiniatureQueue
{
	uint16		oldest;
	uint16		newest;
	uint16		hand;
	uint64		capacity;		/* of the store it stands for, in bytes */
	uint64		used;
	double		hits;			/* of the sampled keys, by weight */
} DcMiniatureQueue;

/*
 * All of them.  The counts grow old (dc_miniature_halve()).
 */
typedef struct DcMiniature
{
	uint32		threshold;		/* keys are sampled whose hash is lower */
	int32		mean_worth;		/* see sieve.h */
	uint64		generation;		/* counts what may turn a hit into a miss */
	double		accesses;		/* all there were */
	double		hits;			/* of them, those that were hits really */
	DcMiniatureQueue queues[DC_MINIATURES];
	uint32		nnodes;
	uint32		nused;
	uint16		free;
	uint32		nbuckets;
	uint16		buckets[FLEXIBLE_ARRAY_MEMBER];
} DcMiniature;

extern void dc_miniature_init(DcMiniature *m, Size size, const uint64 *capacities);
extern uint32 dc_miniature_access(DcMiniature *m, const DcMiniatureAccess *access);
extern void dc_miniature_forget(DcMiniature *m, uint32 hash);
extern void dc_miniature_count(DcMiniature *m, uint64 accesses, uint64 hits);
extern void dc_miniature_halve(DcMiniature *m);
extern void dc_miniature_reset(DcMiniature *m);
extern double dc_miniature_hit_ratio(const DcMiniature *m, int number);

#endif							/* DASHCACHE_MINIATURE_H */
