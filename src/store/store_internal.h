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

/*
 * A partition: a part of the hash table, with its entries in the order of
 * insertion.  All under "lock".
 */
typedef struct DcPartition
{
	LWLock		lock;
	uint32		nentries;
	Size		used;			/* bytes of its entries */
	dsa_pointer oldest;
	dsa_pointer newest;
	dsa_pointer hand;			/* where eviction goes on; invalid: oldest */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(LWLock) - 4 * 8 - 8];
} DcPartition;

/*
 * The store.  What is not in a partition is constant, but for "evict_next",
 * which is only a hint.  The DSA area has its own locks.
 */
typedef struct DcSharedStore
{
	int			tranche;
	int			dsa_tranche;
	uint32		nbuckets;		/* of all partitions; a power of two */
	Size		area_offset;
	Size		area_size;
	pg_atomic_uint32 evict_next;
	DcPartition partitions[DC_PARTITIONS];
	dsa_pointer buckets[FLEXIBLE_ARRAY_MEMBER];
} DcSharedStore;

extern DcSharedStore *dc_store;

extern dsa_area *dc_store_area(void);
extern void dc_store_unlink_locked(DcPartition *partition, dsa_pointer victim,
								   DcSharedEntry *entry);
extern Size dc_evict(Size wanted);

static inline DcSharedEntry *
dc_entry_at(dsa_pointer pointer)
{
	return (DcSharedEntry *) dsa_get_address(dc_store_area(), pointer);
}

static inline DcPartition *
dc_partition_of(uint32 hash)
{
	return &dc_store->partitions[hash % DC_PARTITIONS];
}

#endif							/* DASHCACHE_STORE_INTERNAL_H */
