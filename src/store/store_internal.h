/*-------------------------------------------------------------------------
 *
 * store_internal.h
 *		The layout of the store, for the files of this room only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STORE_INTERNAL_H
#define DASHCACHE_STORE_INTERNAL_H

#include "store/store.h"

#include "storage/lwlock.h"

#define DC_PARTITIONS 128

/* Entries in an order; under a lock. */
typedef struct DcChain
{
	DcRef		oldest;
	DcRef		newest;
} DcChain;

/*
 * A partition: a part of the hash table, with its entries in the order of
 * insertion.  All under "lock".
 */
typedef struct DcPartition
{
	LWLock		lock;
	uint32		nentries;
	Size		used;			/* bytes of its entries */
	DcChain		age;
	DcRef		hand;			/* where eviction goes on; 0: the oldest */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(LWLock) - 8 - 8 - 3 * 4 - 4];
} DcPartition;

/*
 * The store.  What is not in a partition is constant, but for "evict_next",
 * which is only a hint.  The memory of the entries has its own lock.
 */
typedef struct DcSharedStore
{
	int			tranche;
	uint32		nbuckets;		/* of all partitions; a power of two */
	Size		pieces_offset;
	Size		pieces_size;
	pg_atomic_uint32 evict_next;
	DcPartition partitions[DC_PARTITIONS];
	DcRef		buckets[FLEXIBLE_ARRAY_MEMBER];
} DcSharedStore;

extern DcSharedStore *dc_store;

extern void dc_store_unlink_locked(DcPartition *partition, DcRef victim,
								   DcSharedEntry *entry);
extern Size dc_evict(Size wanted);

static inline DcSharedEntry *
dc_entry_at(DcRef ref)
{
	return (DcSharedEntry *) dc_piece_at(ref)->data;
}

/* The first piece of an entry. */
static inline DcPiece *
dc_piece_of(const DcSharedEntry *entry)
{
	return (DcPiece *) ((char *) entry - offsetof(DcPiece, data));
}

static inline DcPartition *
dc_partition_of(uint32 hash)
{
	return &dc_store->partitions[hash % DC_PARTITIONS];
}

#endif							/* DASHCACHE_STORE_INTERNAL_H */
