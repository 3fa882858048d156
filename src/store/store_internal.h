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
#define DC_DEFINITION_BUCKETS 1024

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
	DcRef		scout;			/* likewise, see evict.c */
	uint32		in_vain;		/* so many it has looked at since it found one */
	char		pad[PG_CACHE_LINE_SIZE - sizeof(LWLock) - 2 * 8 - 5 * 4 - 4];
} DcPartition;

/*
 * The store.  What is not in a partition is constant, but for the atomics, which
 * count, or are only hints, and the definitions.  The memory of the entries has its
 * own lock.
 */
typedef struct DcSharedStore
{
	int			tranche;
	uint32		nbuckets;		/* of all partitions; a power of two */
	Size		pieces_offset;
	Size		pieces_size;
	Size		chains_offset;
	pg_atomic_uint32 evict_next;
	pg_atomic_uint32 mean_worth;	/* an int32, of sieve.h */
	pg_atomic_uint64 events[DC_STORE_EVENTS];
	pg_atomic_uint64 said_at[DC_STORE_EVENTS];	/* TimestampTz */
	pg_atomic_uint64 evicted_at;	/* TimestampTz; 0: never */
	pg_atomic_uint64 evicted_idle_us;	/* how long unused it had been */
	pg_atomic_uint64 definition_numbers;	/* the last that was used */
	LWLock		definitions_lock;	/* of these: see definitions.c */
	DcRef		definitions[DC_DEFINITION_BUCKETS];
	DcPartition partitions[DC_PARTITIONS];
	DcRef		buckets[FLEXIBLE_ARRAY_MEMBER];
} DcSharedStore;

extern DcSharedStore *dc_store;

extern uint64 dc_entry_order(const DcSharedEntry *entry);
extern void dc_entry_fill(DcSharedEntry *entry, const DcKey *key,
						  const DcContent *content, DcRef definition);
extern void dc_entry_inherit(DcSharedEntry *entry, DcSharedEntry *old,
							 bool background);

extern void dc_store_count(DcStoreEvent event);
extern Size dc_store_evict_locked(DcPartition *partition, DcRef ref,
								  DcStoreEvent event, TimestampTz now);
extern bool dc_store_evict_ref(DcRef ref, uint32 hash, DcChainKind kind,
							   Oid database, uint32 id, DcStoreEvent event);
extern Size dc_evict(Size wanted);
extern DcRef dc_evict_alloc(Size head, Size size);

extern DcRef dc_definition_use(const DcKey *key, const DcContent *content);
extern void dc_definition_release(DcRef ref);

extern Size dc_chains_shmem_size(Size memory);
extern void dc_chains_shmem_init(void *place, Size memory);
extern void dc_chains_attach(void *place);
extern void dc_chains_link(DcRef ref, DcSharedEntry *entry, Size size);
extern void dc_chains_unlink(DcSharedEntry *entry, Size size);
extern uint32 dc_chain_id(DcChainKind kind, const DcSharedEntry *entry);
extern uint64 dc_chain_used(DcChainKind kind, Oid database, uint32 id);
extern DcRef dc_chain_victim(DcChainKind kind, Oid database, uint32 id, uint32 *hash);

extern bool dc_limits_admit(const DcKey *key, const DcGroup *group, Size size);
extern void dc_limit_reached(DcStoreEvent event);

static inline DcSharedEntry *
dc_entry_at(DcRef ref)
{
	return (DcSharedEntry *) dc_piece_at(ref)->data;
}

static inline DcSharedDefinition *
dc_definition_at(DcRef ref)
{
	return (DcSharedDefinition *) dc_piece_at(ref)->data;
}

/* The first piece of an entry. */
static inline DcPiece *
dc_piece_of(const DcSharedEntry *entry)
{
	return (DcPiece *) ((char *) entry - offsetof(DcPiece, data));
}

/* Add an entry to a chain, as the newest.  The chain is locked. */
static inline void
dc_chain_link(DcChain *chain, DcChainKind kind, DcRef ref, DcSharedEntry *entry)
{
	entry->links[kind].older = chain->newest;
	entry->links[kind].newer = 0;
	if (chain->newest != 0)
		dc_entry_at(chain->newest)->links[kind].newer = ref;
	else
		chain->oldest = ref;
	chain->newest = ref;
}

/* Take an entry out of a chain, likewise. */
static inline void
dc_chain_unlink(DcChain *chain, DcChainKind kind, DcSharedEntry *entry)
{
	DcLinks    *links = &entry->links[kind];

	if (links->older != 0)
		dc_entry_at(links->older)->links[kind].newer = links->newer;
	else
		chain->oldest = links->newer;
	if (links->newer != 0)
		dc_entry_at(links->newer)->links[kind].older = links->older;
	else
		chain->newest = links->older;
}

static inline DcPartition *
dc_partition_of(uint32 hash)
{
	return &dc_store->partitions[hash % DC_PARTITIONS];
}

#endif							/* DASHCACHE_STORE_INTERNAL_H */
