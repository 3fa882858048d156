/*-------------------------------------------------------------------------
 *
 * miniature.c
 *		Small likenesses of the store, at several sizes.
 *
 * What hit ratio would more or less memory give?  Of all keys a part is sampled,
 * by hash, so that a key's accesses are all seen or none.  The sample is played
 * to caches that are smaller in the same proportion and evict as the store does
 * (Waldspurger et al., "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017).  They keep no answers, only who would be there.
 *
 * The memory is fixed.  Where it does not suffice the sample is made smaller:
 * keys from a lower threshold on are dropped, and the likenesses shrink with it
 * (SHARDS with fixed size, Waldspurger et al., FAST 2015).
 *
 * The sample may have more than its share of the accesses, or less, mostly by a few
 * popular keys that are in it or not.  But these are hits at any size, or misses at
 * any size.  So only the difference is taken from the likenesses, between another
 * size and the size that there is, and added to the hit ratio that there is.  (It
 * comes to the same as "SHARDS-adj", same paper, where the likeness of the actual
 * size is right, and corrects where it is not.)
 *
 * Not every miss could be prevented by memory.  An access after a change is one
 * at any size: an answer's digest tells what it was computed from, and if that
 * differs from the digest of the last access, the data have changed since.  An
 * answer that has come to its end is a miss, too, and as the likenesses fill at
 * different times, each has an end of its own.
 *
 * Nothing here is shared or locked; that is estimate.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/miniature.h"

#include "store/sieve.h"

#include "port/pg_bitutils.h"

/*
 * An entry's credit (sieve.h) with a mark that it has been used since the hand
 * last came by; or that it is not there.
 */
#define VISITED 0x80
#define ABSENT PG_UINT8_MAX

struct DcMiniatureNode
{
	uint32		hash;
	uint32		digest;			/* 0: not known */
	uint32		size;
	uint32		ends[DC_MINIATURES];	/* in seconds */
	uint16		chain;			/* in its bucket, or of those that are free */
	uint16		older[DC_MINIATURES];
	uint16		newer[DC_MINIATURES];
	uint8		credit[DC_MINIATURES];
};

/*
 * At the beginning one key in eight is sampled, so that hits seldom meet here.
 * Where there is little memory it is every other one, since there are few keys.
 */
#define FIRST_THRESHOLD(capacity) \
	(UINT32_C(1) << ((capacity) >= 32 * 1024 * 1024 ? 29 : 31))

static inline DcMiniatureNode *
node_at(const DcMiniature *m, uint16 number)
{
	Size		before = MAXALIGN(offsetof(DcMiniature, buckets) + sizeof(uint16) * m->nbuckets);

	return (DcMiniatureNode *) ((char *) m + before) + (number - 1);
}

static inline double
sampled_part(const DcMiniature *m)
{
	return m->threshold / 4294967296.0;
}

static inline uint16 *
bucket_of(DcMiniature *m, uint32 hash)
{
	/* sampled keys differ in the lower bits */
	return &m->buckets[hash & (m->nbuckets - 1)];
}

/* Make empty ones of "size" bytes, for stores of these capacities. */
void
dc_miniature_init(DcMiniature *m, Size size, const uint64 *capacities)
{
	Size		each = sizeof(DcMiniatureNode) + sizeof(uint16);

	memset(m, 0, size);
	for (int i = 0; i < DC_MINIATURES; i++)
		m->queues[i].capacity = capacities[i];
	m->nnodes = (uint32) Min((size - offsetof(DcMiniature, buckets) - MAXIMUM_ALIGNOF) / each,
							 PG_UINT16_MAX);
	m->nbuckets = pg_prevpower2_32(m->nnodes);
	m->threshold = FIRST_THRESHOLD(capacities[DC_MINIATURE_ACTUAL]);
	for (uint32 i = m->nnodes; i > 0; i--)
	{
		node_at(m, i)->chain = m->free;
		m->free = i;
	}
}

static uint16
find(DcMiniature *m, uint32 hash)
{
	uint16		at = *bucket_of(m, hash);

	while (at != 0 && node_at(m, at)->hash != hash)
		at = node_at(m, at)->chain;
	return at;
}

/* Take a node out of the table, if no likeness has it. */
static void
free_if_unused(DcMiniature *m, uint16 number)
{
	DcMiniatureNode *node = node_at(m, number);
	uint16	   *link = bucket_of(m, node->hash);

	for (int i = 0; i < DC_MINIATURES; i++)
	{
		if (node->credit[i] != ABSENT)
			return;
	}
	while (*link != number)
		link = &node_at(m, *link)->chain;
	*link = node->chain;
	node->chain = m->free;
	m->free = number;
	m->nused--;
}

/* Take a node out of one likeness. */
static void
take_out(DcMiniature *m, int i, uint16 number)
{
	DcMiniatureQueue *queue = &m->queues[i];
	DcMiniatureNode *node = node_at(m, number);

	if (node->older[i] != 0)
		node_at(m, node->older[i])->newer[i] = node->newer[i];
	else
		queue->oldest = node->newer[i];
	if (node->newer[i] != 0)
		node_at(m, node->newer[i])->older[i] = node->older[i];
	else
		queue->newest = node->older[i];
	if (queue->hand == number)
		queue->hand = node->newer[i];
	queue->used -= node->size;
	node->credit[i] = ABSENT;
	m->generation++;
}

static void
put_in(DcMiniature *m, int i, uint16 number, uint8 credit)
{
	DcMiniatureQueue *queue = &m->queues[i];
	DcMiniatureNode *node = node_at(m, number);

	node->older[i] = queue->newest;
	node->newer[i] = 0;
	if (queue->newest != 0)
		node_at(m, queue->newest)->newer[i] = number;
	else
		queue->oldest = number;
	queue->newest = number;
	queue->used += node->size;
	node->credit[i] = credit;
}

/* Evict until "more" bytes fit into a likeness, or nothing is left. */
static void
make_room(DcMiniature *m, int i, uint64 more)
{
	DcMiniatureQueue *queue = &m->queues[i];
	double		capacity = queue->capacity * sampled_part(m);

	while (queue->used + more > capacity && queue->oldest != 0)
	{
		uint16		at = queue->hand != 0 ? queue->hand : queue->oldest;
		DcMiniatureNode *node = node_at(m, at);

		bool		visited = (node->credit[i] & VISITED) != 0;

		node->credit[i] &= ~VISITED;
		queue->hand = node->newer[i];
		if (!dc_sieve_passes(&node->credit[i], visited))
		{
			take_out(m, i, at);
			free_if_unused(m, at);
		}
	}
}

/* Drop a node altogether. */
static void
drop(DcMiniature *m, uint16 number)
{
	DcMiniatureNode *node = node_at(m, number);

	for (int i = 0; i < DC_MINIATURES; i++)
	{
		if (node->credit[i] != ABSENT)
			take_out(m, i, number);
	}
	free_if_unused(m, number);
}

/* Make the sample smaller by an eighth. */
static void
lower_threshold(DcMiniature *m)
{
	m->threshold -= m->threshold / 8;
	for (uint32 i = 0; i < m->nbuckets; i++)
	{
		for (uint16 at = m->buckets[i]; at != 0;)
		{
			uint16		next = node_at(m, at)->chain;

			if (node_at(m, at)->hash >= m->threshold)
				drop(m, at);
			at = next;
		}
	}
	for (int i = 0; i < DC_MINIATURES; i++)
		make_room(m, i, 0);
}

/* A node for a key that has none; 0 if it is not sampled any more. */
static uint16
make_node(DcMiniature *m, uint32 hash)
{
	uint16		number;
	DcMiniatureNode *node;

	while (hash < m->threshold && m->free == 0)
		lower_threshold(m);
	if (hash >= m->threshold)
		return 0;
	number = m->free;
	node = node_at(m, number);
	m->free = node->chain;
	m->nused++;
	memset(node, 0, sizeof(*node));
	memset(node->credit, ABSENT, sizeof(node->credit));
	node->hash = hash;
	node->chain = *bucket_of(m, hash);
	*bucket_of(m, hash) = number;
	return number;
}

/*
 * Play an access to a sampled key to all likenesses.  If it was a hit in each it
 * makes no difference; nor will another one, as long as "generation" is the same,
 * until the second that is returned.  Else 0.
 */
uint32
dc_miniature_access(DcMiniature *m, const DcMiniatureAccess *access)
{
	uint16		number = find(m, access->hash);
	double		weight = 1 / sampled_part(m);
	int32		worth = dc_sieve_worth(access->compute_us, access->size);
	uint32		end = access->life > PG_UINT32_MAX - access->now ?
	PG_UINT32_MAX : access->now + access->life;
	DcMiniatureNode *node;
	bool		changed;
	uint32		until = PG_UINT32_MAX;

	if (number == 0)
		number = make_node(m, access->hash);
	if (number == 0)
		return 0;

	node = node_at(m, number);
	changed = access->digest != 0 && node->digest != 0 &&
		access->digest != node->digest;
	if (access->digest != 0)
		node->digest = access->digest;
	for (int i = 0; i < DC_MINIATURES; i++)
	{
		DcMiniatureQueue *queue = &m->queues[i];
		bool		present = node->credit[i] != ABSENT;

		/* what is not right any more is put in anew */
		if (present && (changed || (access->now >= node->ends[i] && !access->stale)))
			take_out(m, i, number);
		if (node->credit[i] != ABSENT)
		{
			if (access->asked)
			{
				queue->hits += weight;
				node->credit[i] |= VISITED;
			}
			else
				node->ends[i] = end;	/* computed anew at any size */
			queue->used += access->size;
			queue->used -= node->size;
			until = Min(until, node->ends[i]);
		}
		else
			until = 0;
	}

	if (access->digest != 0)
		m->mean_worth = dc_sieve_mean(m->mean_worth, worth);
	node->size = access->size;
	for (int i = 0; i < DC_MINIATURES; i++)
	{
		/* what the store would not take, see dc_store_largest() */
		if (node->credit[i] != ABSENT ||
			node->size > m->queues[i].capacity / 4)
			continue;
		make_room(m, i, node->size);
		put_in(m, i, number, dc_sieve_credit(dc_sieve_weight(worth, m->mean_worth)));
		node->ends[i] = end;
	}
	free_if_unused(m, number);
	return until;
}

/* An entry is gone, for another reason than that room was needed. */
void
dc_miniature_forget(DcMiniature *m, uint32 hash)
{
	uint16		number = find(m, hash);

	if (number != 0)
		drop(m, number);
}

/* So many accesses there were, and so many of them were hits. */
void
dc_miniature_count(DcMiniature *m, uint64 accesses, uint64 hits)
{
	m->accesses += accesses;
	m->hits += hits;
}

/* What was counted up to now is worth half of what will be. */
void
dc_miniature_halve(DcMiniature *m)
{
	m->accesses /= 2;
	m->hits /= 2;
	for (int i = 0; i < DC_MINIATURES; i++)
		m->queues[i].hits /= 2;
}

/* Count from zero; what the likenesses hold stays. */
void
dc_miniature_reset(DcMiniature *m)
{
	m->accesses = m->hits = 0;
	for (int i = 0; i < DC_MINIATURES; i++)
		m->queues[i].hits = 0;
}

/* The hit ratio that is estimated for a size; negative if it is not known. */
double
dc_miniature_hit_ratio(const DcMiniature *m, int number)
{
	double		hits = m->hits + m->queues[number].hits -
	m->queues[DC_MINIATURE_ACTUAL].hits;

	if (m->accesses <= 0)
		return -1;
	return Min(Max(hits / m->accesses, 0), 1);
}
