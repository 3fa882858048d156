/*-------------------------------------------------------------------------
 *
 * estimate.h
 *		What hit ratio would more or less memory give?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ESTIMATE_H
#define DASHCACHE_ESTIMATE_H

#include "postgres.h"

#include "store/miniature.h"
#include "store/store.h"

#include "datatype/timestamp.h"

/* The estimate, and the accesses it rests on, the old ones counting less. */
typedef struct DcEstimate
{
	double		accesses;
	double		hit_ratio[DC_MINIATURES];	/* negative: not known */
} DcEstimate;

/* What is left for the store of so many bytes of memory. */
typedef Size (*DcEstimateStore) (Size memory);

/* Keys whose hash is lower are sampled; read without a lock.  Hits use a copy. */
extern volatile uint32 *dc_estimate_threshold;

extern Size dc_estimate_shmem_size(Size memory);
extern void dc_estimate_shmem_init(void *place, Size memory, DcEstimateStore store_of);
extern void dc_estimate_attach(void *place);

extern pg_noinline void dc_estimate_sampled_hit(const DcSharedEntry *entry, TimestampTz now, bool stale);
extern void dc_estimate_flush(void);
extern pg_noinline void dc_estimate_flush_soon(TimestampTz now);
extern void dc_estimate_sampled_fill(const DcKey *key, const DcContent *content, Size size);
extern void dc_estimate_sampled_removal(uint32 hash);
extern void dc_estimate_read(DcEstimate *estimate);
extern void dc_estimate_reset(void);

/*
 * What this session has counted and not yet told: it tells when "left" of the
 * "granted" accesses have come down to 0.
 */
typedef struct DcEstimateLocal
{
	uint32		granted;
	uint32		left;
	uint32		hits;
	uint32		threshold;		/* as it was when this session last told */
} DcEstimateLocal;

extern DcEstimateLocal dc_estimate_local;

/* An answer was served from an entry, whose partition is locked in any mode. */
static inline void
dc_estimate_hit(const DcSharedEntry *entry, TimestampTz now, bool stale)
{
	dc_estimate_local.hits++;
	if (unlikely(--dc_estimate_local.left == 0))
		dc_estimate_flush_soon(now);
	if (unlikely(entry->hash < dc_estimate_local.threshold))
		dc_estimate_sampled_hit(entry, now, stale);
}

/* An answer had to be computed, for somebody who waits. */
static inline void
dc_estimate_miss(void)
{
	if (unlikely(--dc_estimate_local.left == 0))
		dc_estimate_flush();
}

/*
 * An answer was computed that is stored, or is too large for that.  "size" is
 * what it takes; its partition may be locked.
 */
static inline void
dc_estimate_fill(const DcKey *key, const DcContent *content, Size size)
{
	if (unlikely(key->hash < *dc_estimate_threshold))
		dc_estimate_sampled_fill(key, content, size);
}

/* An entry was removed, by a purge and the like. */
static inline void
dc_estimate_removed(uint32 hash)
{
	if (unlikely(hash < *dc_estimate_threshold))
		dc_estimate_sampled_removal(hash);
}

#endif							/* DASHCACHE_ESTIMATE_H */
