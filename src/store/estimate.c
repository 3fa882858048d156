/*-------------------------------------------------------------------------
 *
 * estimate.c
 *		What hit ratio would more or less memory give?
 *
 * The accesses to a sample of the keys are played to likenesses of the store at
 * several sizes (miniature.c), which are shared.  An access to any other key
 * costs a comparison, and a count in the session's own memory, since the hit ratio
 * of all accesses is needed, too.
 *
 * A hit takes no exclusive lock.  What a session has counted, and its hits on
 * sampled keys, it plays all at once when there are many; and if the lock is not
 * free at that moment, with one of the next hits.  Misses, which have computed, wait
 * for the lock.
 *
 * A popular key may be in the sample, and all sessions may ask for it at once.
 * So a session remembers for which keys the last access was a hit at every size.
 * As long as none of the likenesses has evicted anything since, another one
 * makes no difference, and is not played.
 *
 * Locking: "lock" for all but the threshold, the lock's address and "generation",
 * which are read without.  It may be taken with a partition's lock held; nothing
 * is locked under it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/estimate.h"

#include "hit_path.h"

#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* So many accesses a session counts for itself. */
#define GRANTED 1024

/* If the lock is not free then, so many more. */
#define GRANTED_MORE 64

/* So many hits on sampled keys it keeps for itself. */
#define PENDING 32

/* After so long what was counted is worth half. */
#define HALF_LIFE (USECS_PER_SEC * SECS_PER_HOUR)

typedef struct DcSharedEstimate
{
	LWLock		lock;
	int			tranche;
	TimestampTz started;		/* from when on seconds are counted */
	TimestampTz halved;			/* when the counts were last halved */
	pg_atomic_uint64 generation;	/* that of the likenesses */
	/* it changes seldom, and is read with each fill */
	uint32		threshold pg_attribute_aligned(PG_CACHE_LINE_SIZE);
	DcMiniature miniature pg_attribute_aligned(PG_CACHE_LINE_SIZE);
} DcSharedEstimate;

/* A key for which the last access was a hit at every size. */
typedef struct Known
{
	uint64		generation;
	uint32		hash;
	uint32		until;			/* as a second; 0: not such a key */
} Known;

volatile uint32 *dc_estimate_threshold = NULL;
DC_HIT_DATA DcEstimateLocal dc_estimate_local = {.granted = 1,.left = 1};

static DcSharedEstimate *shared = NULL;
static Known known[256];
static DcMiniatureAccess pending[PENDING];
static int	npending = 0;

/*
 * How many bytes of the "memory" bytes of dashcache the estimate takes: a 64th up
 * to 256 kB, with which it is off by about half a point; then a 256th, which makes
 * it better still; but no more than it could use.
 */
Size
dc_estimate_shmem_size(Size memory)
{
	Size		size = Max(Min(memory / 64, 256 * 1024), memory / 256);

	return MAXALIGN(offsetof(DcSharedEstimate, miniature) + Min(size, 5 * 1024 * 1024));
}

/* Begin to estimate for "memory" bytes; once, by the postmaster. */
void
dc_estimate_shmem_init(void *place, Size memory, DcEstimateStore store_of)
{
	static const int quarters[DC_MINIATURES] = DC_MINIATURE_QUARTERS;
	uint64		capacities[DC_MINIATURES];

	/* what is reserved does not grow in proportion */
	for (int i = 0; i < DC_MINIATURES; i++)
		capacities[i] = store_of(memory / 4 * quarters[i]);
	shared = place;
	shared->tranche = LWLockNewTrancheId();
	LWLockInitialize(&shared->lock, shared->tranche);
	shared->started = shared->halved = GetCurrentTimestamp();
	pg_atomic_init_u64(&shared->generation, 0);
	dc_miniature_init(&shared->miniature,
					  dc_estimate_shmem_size(memory) - offsetof(DcSharedEstimate, miniature),
					  capacities);
	shared->threshold = shared->miniature.threshold;
}

/* Learn where the estimate is; in every process. */
void
dc_estimate_attach(void *place)
{
	shared = place;
	LWLockRegisterTranche(shared->tranche, "dashcache_estimate");
	dc_estimate_threshold = &shared->threshold;
	dc_estimate_local.threshold = shared->threshold;
}

static void
grant(void)
{
	dc_estimate_local.granted = dc_estimate_local.left = GRANTED;
	dc_estimate_local.hits = 0;
	dc_estimate_local.threshold = shared->miniature.threshold;
}

static Known *
known_of(uint32 hash)
{
	return &known[hash % lengthof(known)];
}

static void
play_pending_locked(void)
{
	for (int i = 0; i < npending; i++)
	{
		Known	   *remembered = known_of(pending[i].hash);

		remembered->until = dc_miniature_access(&shared->miniature, &pending[i]);
		remembered->hash = pending[i].hash;
		remembered->generation = shared->miniature.generation;
	}
	npending = 0;
}

static void
flush_at_exit(int code, Datum arg)
{
	dc_estimate_flush();
}

/* Tell the others what this session has counted; at its end it does so, too. */
static void
flush_locked(TimestampTz now)
{
	static bool registered = false;

	Assert(LWLockHeldByMeInMode(&shared->lock, LW_EXCLUSIVE));

	if (!registered)
	{
		before_shmem_exit(flush_at_exit, (Datum) 0);
		registered = true;
	}
	dc_miniature_count(&shared->miniature,
					   dc_estimate_local.granted - dc_estimate_local.left,
					   dc_estimate_local.hits);
	grant();
	play_pending_locked();
	if (now >= shared->halved + HALF_LIFE)
	{
		dc_miniature_halve(&shared->miniature);
		shared->halved = now;
	}
}

static void
lock_estimate(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
}

/* Let what was changed with the lock held be known to who has not got it. */
static void
unlock_estimate(void)
{
	shared->threshold = shared->miniature.threshold;
	pg_atomic_write_u64(&shared->generation, shared->miniature.generation);
	LWLockRelease(&shared->lock);
}

/* Tell the others what this session has counted. */
void
dc_estimate_flush(void)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_estimate();
	flush_locked(now);
	unlock_estimate();
}

/* The same if nobody has the lock; false: not now. */
static bool
flush_if_free(TimestampTz now)
{
	if (!LWLockConditionalAcquire(&shared->lock, LW_EXCLUSIVE))
		return false;
	flush_locked(now);
	unlock_estimate();
	return true;
}

/* See dc_estimate_hit(). */
void
dc_estimate_flush_soon(TimestampTz now)
{
	if (!flush_if_free(now))
	{
		dc_estimate_local.granted += GRANTED_MORE;
		dc_estimate_local.left += GRANTED_MORE;
	}
}

/* Whole seconds since the start, of a time or a duration. */
static uint32
seconds(TimestampTz us)
{
	return (uint32) Min(Max(us, 0) / USECS_PER_SEC, PG_UINT32_MAX - 1);
}

static uint32
life_of(TimestampTz generated_at, TimestampTz expires_at)
{
	return expires_at == DT_NOEND ? PG_UINT32_MAX : seconds(expires_at - generated_at);
}

/* See dc_estimate_hit(). */
void
dc_estimate_sampled_hit(const DcSharedEntry *entry, TimestampTz now, bool stale)
{
	Known	   *remembered = known_of(entry->hash);
	uint32		second = seconds(now - shared->started);
	DcMiniatureAccess *access;

	if (remembered->hash == entry->hash && second < remembered->until &&
		remembered->generation == pg_atomic_read_u64(&shared->generation))
		return;
	/* where even that is in demand, one hit more or less does not matter */
	if (npending == PENDING && !flush_if_free(now))
		return;

	access = &pending[npending++];
	memset(access, 0, sizeof(*access));
	access->now = second;
	access->hash = entry->hash;
	access->size = (uint32) Min(dc_entry_size(entry), PG_UINT32_MAX);
	access->compute_us = entry->compute_us;
	access->life = life_of(entry->generated_at, entry->expires_at);
	access->asked = true;
	access->stale = stale;
}

/* See dc_estimate_fill(). */
void
dc_estimate_sampled_fill(const DcKey *key, const DcContent *content, Size size)
{
	DcMiniatureAccess access = {0};

	access.hash = key->hash;
	access.digest = Max(content->digest, 1);
	access.size = (uint32) Min(size, PG_UINT32_MAX);
	access.compute_us = content->compute_us;
	access.now = seconds(content->generated_at - shared->started);
	access.life = life_of(content->generated_at, content->expires_at);
	access.asked = content->missed;

	lock_estimate();
	flush_locked(content->generated_at);
	(void) dc_miniature_access(&shared->miniature, &access);
	unlock_estimate();
}

/* See dc_estimate_removed(). */
void
dc_estimate_sampled_removal(uint32 hash)
{
	lock_estimate();
	play_pending_locked();
	dc_miniature_forget(&shared->miniature, hash);
	unlock_estimate();
}

/* The estimate as it is now. */
void
dc_estimate_read(DcEstimate *estimate)
{
	DcMiniature *m = &shared->miniature;

	dc_estimate_flush();
	lock_estimate();
	estimate->accesses = m->accesses;
	for (int i = 0; i < DC_MINIATURES; i++)
		estimate->hit_ratio[i] = dc_miniature_hit_ratio(m, i);
	unlock_estimate();
}

/* Count from zero; what the likenesses hold stays. */
void
dc_estimate_reset(void)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_estimate();
	grant();
	npending = 0;
	dc_miniature_reset(&shared->miniature);
	shared->halved = now;
	unlock_estimate();
}
