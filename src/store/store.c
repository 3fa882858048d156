/*-------------------------------------------------------------------------
 *
 * store.c
 *		The entries: keys, answers, and what was noted about them.
 *
 * A hash table in shared memory, divided into partitions.  An entry is a
 * piece of the memory that was reserved at start (pieces.c), or several; so key,
 * answer and bookkeeping all come out of dashcache.memory, and nothing is ever
 * taken beyond it.
 *
 * An entry is constant once it is in the table.  A new answer for the same key
 * is a new entry that takes the place of the old one.  The store knows what an
 * entry was computed from only as bytes ("proof"), and never judges whether it
 * is valid: dc_store_find() gives out the entry with its partition locked, and
 * the caller looks, copies, and unlocks.  Nobody keeps a pointer longer, so
 * there are no pins and none can leak.
 *
 * Locking: one LWLock a partition; shared to find, look and copy, exclusive to
 * insert and remove.  No more than one of them is held at a time.  Under it
 * may be taken: the lock of the definitions (definitions.c), the stats lock, the
 * spinlocks of the chains (chains.c), the lock of the memory.  New entries are made
 * before the lock is taken, because making room may have to visit other partitions
 * (evict.c, limits.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "hit_path.h"
#include "mix.h"
#include "stats.h"
#include "store/estimate.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

DC_HIT_DATA DcSharedStore *dc_store = NULL;

/* The number of buckets, less one. */
static DC_HIT_DATA uint32 bucket_mask = 0;

/* The least that dc_store_shmem_init() can work with. */
Size
dc_store_shmem_min(void)
{
	return sizeof(DcSharedStore) + 1024 * 1024;
}

/* Make an empty store of "size" bytes at "place"; once, by the postmaster. */
void
dc_store_shmem_init(void *place, Size size)
{
	dc_store = place;
	dc_store->tranche = LWLockNewTrancheId();
	pg_atomic_init_u32(&dc_store->evict_next, 0);
	pg_atomic_init_u32(&dc_store->mean_worth, 0);
	pg_atomic_init_u64(&dc_store->definition_numbers, 0);
	pg_atomic_init_u64(&dc_store->evicted_at, 0);
	pg_atomic_init_u64(&dc_store->evicted_idle_us, 0);
	for (int i = 0; i < DC_STORE_EVENTS; i++)
	{
		pg_atomic_init_u64(&dc_store->events[i], 0);
		pg_atomic_init_u64(&dc_store->said_at[i], 0);
	}
	LWLockInitialize(&dc_store->definitions_lock, dc_store->tranche);
	memset(dc_store->definitions, 0, sizeof(dc_store->definitions));
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		memset(partition, 0, sizeof(*partition));
		LWLockInitialize(&partition->lock, dc_store->tranche);
	}

	/* one for each of the smallest entries that fit, more or less */
	dc_store->nbuckets = pg_prevpower2_32((uint32) Min(size / 256, 1U << 31));
	dc_store->nbuckets = Max(dc_store->nbuckets, DC_PARTITIONS);
	memset(dc_store->buckets, 0, sizeof(DcRef) * dc_store->nbuckets);

	dc_store->chains_offset = CACHELINEALIGN(offsetof(DcSharedStore, buckets) +
											 sizeof(DcRef) * dc_store->nbuckets);
	dc_chains_shmem_init((char *) place + dc_store->chains_offset, size);
	dc_store->pieces_offset = dc_store->chains_offset + dc_chains_shmem_size(size);
	dc_store->pieces_size = size - dc_store->pieces_offset;
	dc_pieces_shmem_init((char *) place + dc_store->pieces_offset,
						 dc_store->pieces_size);
}

/* Learn where the store is; in every process. */
void
dc_store_attach(void *place)
{
	dc_store = place;
	bucket_mask = dc_store->nbuckets - 1;
	LWLockRegisterTranche(dc_store->tranche, "dashcache_store");
	dc_chains_attach((char *) place + dc_store->chains_offset);
	dc_pieces_attach((char *) place + dc_store->pieces_offset);
}

/* The hash of a key, over all of it, the tenant by its own hash. */
DC_HIT_PATH uint32
dc_store_hash(const DcKey *key)
{
	uint64		hash = dc_mix64((uint64) key->tenant_hash << 32 | key->widget);

	if (key->params_len > 0)
		hash = hash_bytes_extended((const unsigned char *) key->params,
								   key->params_len, hash);
	return (uint32) dc_mix64(hash ^ key->database);
}

static DC_HIT_PATH DcRef *
bucket_of(uint32 hash)
{
	/* the low bits choose the partition, so that a bucket has one lock */
	return &dc_store->buckets[hash & bucket_mask];
}

static inline bool
is_of(const DcSharedEntry *entry, Oid database, uint32 widget, uint64 version)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);

	return definition->widget == widget && definition->version == version &&
		definition->database == database;
}

/* memcmp() == 0, without a call for a number, or for nothing. */
static inline bool
same_bytes(const char *a, const char *b, uint32 len)
{
	uint64		numbers[2];

	if (len == 0)
		return true;
	if (len != sizeof(uint64))
		return memcmp(a, b, len) == 0;
	memcpy(&numbers[0], a, sizeof(uint64));
	memcpy(&numbers[1], b, sizeof(uint64));
	return numbers[0] == numbers[1];
}

static pg_attribute_always_inline bool
same_but_tenant(const DcSharedEntry *entry, const DcKey *key)
{
	return entry->hash == key->hash &&
		is_of(entry, key->database, key->widget, key->version) &&
		entry->params_len == key->params_len &&
		same_bytes(DC_ENTRY_PARAMS(entry), key->params, key->params_len);
}

static pg_attribute_always_inline bool
key_matches(const DcSharedEntry *entry, const DcKey *key)
{
	return same_but_tenant(entry, key) &&
		entry->tenant_len == key->tenant_len &&
		same_bytes(DC_ENTRY_TENANT(entry), key->tenant, key->tenant_len);
}

static pg_attribute_always_inline DcSharedEntry *
find_locked(const DcKey *key, DcRef *ref)
{
	DcRef		at = *bucket_of(key->hash);

	while (at != 0)
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (key_matches(entry, key))
		{
			*ref = at;
			return entry;
		}
		at = entry->next;
	}
	return NULL;
}

/* Ask the processor for what dc_store_find() will look at first. */
DC_HIT_PATH void
dc_store_prefetch(const DcKey *key)
{
	dc_prefetch_write(dc_partition_of(key->hash));
	dc_prefetch(bucket_of(key->hash));
}

/*
 * And, a while after that, for the entry: most probably the first of its bucket.
 * Its place is read without the lock, so it may be another's by then, but is
 * always one in the store's memory.
 */
DC_HIT_PATH void
dc_store_prefetch_entry(const DcKey *key)
{
	DcRef		ref = *(volatile DcRef *) bucket_of(key->hash);

	if (ref != 0)
	{
		const char *needed = (const char *) dc_entry_at(ref) + offsetof(DcSharedEntry, etag);

		dc_prefetch_write(needed);
		dc_prefetch_write(needed + 64);
		dc_prefetch(needed + 2 * 64);
	}
}

/*
 * Find an entry.  If there is one it is returned with its partition locked
 * for reading, and the caller has to call dc_store_unlock() soon; else no lock
 * is held.
 */
DC_HIT_PATH DcSharedEntry *
dc_store_find(const DcKey *key)
{
	DcPartition *partition = dc_partition_of(key->hash);
	DcSharedEntry *entry;
	DcRef		ref;

	LWLockAcquire(&partition->lock, LW_SHARED);
	entry = find_locked(key, &ref);
	if (entry == NULL)
		LWLockRelease(&partition->lock);
	return entry;
}

/*
 * An entry that differs from the key only by a tenant of the same hash: that
 * tenant's bytes, or NULL.  Whether the two are equal is for the caller to
 * find out, who holds no lock then.
 */
char *
dc_store_alias(const DcKey *key, uint32 *len)
{
	DcPartition *partition = dc_partition_of(key->hash);
	char	   *alias = NULL;

	LWLockAcquire(&partition->lock, LW_SHARED);
	for (DcRef at = *bucket_of(key->hash); at != 0;)
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (same_but_tenant(entry, key) && entry->tenant_hash == key->tenant_hash)
		{
			*len = entry->tenant_len;
			alias = palloc(entry->tenant_len);
			memcpy(alias, DC_ENTRY_TENANT(entry), entry->tenant_len);
			break;
		}
		at = entry->next;
	}
	LWLockRelease(&partition->lock);
	return alias;
}

/*
 * Visit this database's entries of a widget's version that have a hash, mostly
 * one, with their partition locked for reading.
 */
void
dc_store_each(uint32 widget, uint64 version, uint32 hash, DcEntryVisit visit, void *arg)
{
	DcPartition *partition = dc_partition_of(hash);

	LWLockAcquire(&partition->lock, LW_SHARED);
	for (DcRef at = *bucket_of(hash); at != 0;)
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (entry->hash == hash && is_of(entry, MyDatabaseId, widget, version))
			visit(entry, arg);
		at = entry->next;
	}
	LWLockRelease(&partition->lock);
}

static void
copy_key(DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	List	  **keys = arg;
	DcKey	   *key = palloc(sizeof(DcKey));
	char	   *tenant = palloc(entry->tenant_len + 1);
	char	   *params = palloc(entry->params_len + 1);

	key->database = definition->database;
	key->widget = definition->widget;
	key->version = definition->version;
	key->hash = entry->hash;
	key->tenant_hash = entry->tenant_hash;
	key->tenant_len = entry->tenant_len;
	key->params_len = entry->params_len;
	key->tenant = memcpy(tenant, DC_ENTRY_TENANT(entry), entry->tenant_len);
	key->params = memcpy(params, DC_ENTRY_PARAMS(entry), entry->params_len);
	*keys = lappend(*keys, key);
}

/* Copies of the keys of such entries: DcKeys, in the current memory context. */
List *
dc_store_keys(uint32 widget, uint64 version, uint32 hash)
{
	List	   *keys = NIL;

	dc_store_each(widget, version, hash, copy_key, &keys);
	return keys;
}

/* Release what dc_store_find() has locked. */
DC_HIT_PATH void
dc_store_unlock(const DcKey *key)
{
	LWLockRelease(&dc_partition_of(key->hash)->lock);
}

/*
 * Count an entry in, or out.  Out of what it was counted in: a widget that has found
 * no slot for its counters may have got one since.
 */
static void
count_gauges(DcSharedEntry *entry, int sign, Size size)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	DcSharedStats *stats = dc_stats_common();

	if (sign > 0 || !(pg_atomic_read_u32(&entry->marks) & DC_MARK_COMMON))
		stats = dc_stats_get(definition->database, definition->widget);
	if (sign > 0 && stats == dc_stats_common())
		dc_entry_mark(entry, DC_MARK_COMMON);
	dc_stats_add(stats, DC_COUNT_ENTRIES, sign);
	dc_stats_add(stats, DC_COUNT_BYTES, sign * (int64) entry->answer_len);
	dc_stats_add(stats, DC_COUNT_STORED_BYTES, sign * (int64) size);
}

/* Free an entry that is not, or no longer, in the table. */
static void
free_entry(DcRef ref)
{
	DcRef		definition = dc_entry_at(ref)->definition;

	dc_pieces_free(ref);
	dc_definition_release(definition);
}

/*
 * Take an entry out of the table and of its chains, and free it; returns the
 * bytes it took.  The partition is locked exclusively.
 */
static Size
unlink_locked(DcPartition *partition, DcRef victim, DcSharedEntry *entry)
{
	DcRef	   *link = bucket_of(entry->hash);
	Size		size = dc_pieces_size(victim);

	Assert(LWLockHeldByMeInMode(&partition->lock, LW_EXCLUSIVE));

	while (*link != victim)
	{
		Assert(*link != 0);
		link = &dc_entry_at(*link)->next;
	}
	*link = entry->next;

	if (partition->hand == victim)
		partition->hand = entry->links[DC_CHAIN_AGE].newer;
	if (partition->scout == victim)
		partition->scout = entry->links[DC_CHAIN_AGE].newer;
	dc_chain_unlink(&partition->age, DC_CHAIN_AGE, entry);
	dc_chains_unlink(entry, size);

	if (--partition->nentries == 0)
		partition->in_vain = 0;
	partition->used -= size;
	count_gauges(entry, -1, size);
	free_entry(victim);
	return size;
}

/* Count something. */
void
dc_store_count(DcStoreEvent event)
{
	pg_atomic_fetch_add_u64(&dc_store->events[event], 1);
}

/*
 * Evict an entry, for a reason, and count it; returns the bytes it took.  The
 * partition is locked exclusively.
 */
Size
dc_store_evict_locked(DcPartition *partition, DcRef ref, DcStoreEvent event, TimestampTz now)
{
	DcSharedEntry *entry = dc_entry_at(ref);
	const DcSharedDefinition *definition = dc_entry_definition(entry);

	dc_store_count(event);
	dc_stats_add(dc_stats_get(definition->database, definition->widget),
				 DC_COUNT_EVICTIONS, 1);
	if (event == DC_STORE_EVICTED)
	{
		TimestampTz used = Max(dc_entry_last_used(entry), entry->generated_at);

		pg_atomic_write_u64(&dc_store->evicted_at, (uint64) now);
		pg_atomic_write_u64(&dc_store->evicted_idle_us, (uint64) Max(now - used, 0));
	}
	return unlink_locked(partition, ref, entry);
}

/*
 * Evict the entry that was at a place, if it, or another of the same hash and
 * owner, is there still.
 */
bool
dc_store_evict_ref(DcRef ref, uint32 hash, DcChainKind kind, Oid database, uint32 id,
				   DcStoreEvent event)
{
	DcPartition *partition = dc_partition_of(hash);
	bool		evicted = false;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	for (DcRef at = *bucket_of(hash); at != 0; at = dc_entry_at(at)->next)
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (at == ref && dc_entry_definition(entry)->database == database &&
			dc_chain_id(kind, entry) == id)
		{
			(void) dc_store_evict_locked(partition, at, event, 0);
			evicted = true;
			break;
		}
	}
	LWLockRelease(&partition->lock);
	return evicted;
}

static void
link_locked(DcPartition *partition, DcRef ref, DcSharedEntry *entry)
{
	DcRef	   *bucket = bucket_of(entry->hash);
	Size		size = dc_pieces_size(ref);

	entry->next = *bucket;
	*bucket = ref;

	dc_chain_link(&partition->age, DC_CHAIN_AGE, ref, entry);
	dc_chains_link(ref, entry, size);
	partition->nentries++;
	partition->used += size;
	count_gauges(entry, 1, size);
}

/*
 * Make an entry, which is not in the table yet, within all limits.  Anything but
 * DC_PUT_STORED: why it cannot be.
 */
static DcPutResult
make_entry(const DcKey *key, const DcContent *content, DcRef *ref)
{
	Size		head = offsetof(DcSharedEntry, data) + content->proof_len +
	(Size) key->tenant_len + key->params_len;
	Size		size = head + content->payload_len;
	DcRef		definition;

	dc_estimate_fill(key, content, size);
	if (!dc_limits_admit(key, &content->group, size))
		return DC_PUT_TOO_LARGE;
	definition = dc_definition_use(key, content);
	*ref = definition == 0 ? 0 : dc_evict_alloc(head, size);
	if (*ref == 0)
	{
		if (definition != 0)
			dc_definition_release(definition);
		dc_store_count(DC_STORE_NO_MEMORY);
		dc_limit_reached(DC_STORE_NO_MEMORY);
		return DC_PUT_NO_MEMORY;
	}
	dc_entry_fill(dc_entry_at(*ref), key, content, definition);
	return DC_PUT_STORED;
}

/*
 * Store an answer.  An entry with the same key gives way, unless it is of a
 * higher order.  "permit" is asked last, with the partition locked, so that
 * what makes it say no and then removes entries leaves none behind.
 */
DcPutResult
dc_store_put(const DcKey *key, const DcContent *content,
			 DcPermit permit, void *arg)
{
	DcPartition *partition = dc_partition_of(key->hash);
	DcSharedEntry *entry;
	DcSharedEntry *old;
	DcRef		ref;
	DcRef		old_ref;
	DcPutResult result = make_entry(key, content, &ref);

	if (result != DC_PUT_STORED)
		return result;
	entry = dc_entry_at(ref);

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	old = find_locked(key, &old_ref);
	if (old != NULL && dc_entry_order(old) > dc_entry_order(entry))
		result = DC_PUT_SUPERSEDED;
	else if (!permit(arg))
		result = DC_PUT_NOT_PERMITTED;
	else
	{
		if (old != NULL)
		{
			dc_entry_inherit(entry, old, content->background);
			(void) unlink_locked(partition, old_ref, old);
		}
		link_locked(partition, ref, entry);
	}
	LWLockRelease(&partition->lock);

	if (result != DC_PUT_STORED)
		free_entry(ref);
	return result;
}

/*
 * Store an answer again that was given out by dc_store_export(), with its usage.
 * If there is an entry with the same key, that stays.  "permit": as above.
 */
DcPutResult
dc_store_restore(const DcKey *key, const DcContent *content,
				 const DcUsage *usage, DcPermit permit, void *arg)
{
	DcPartition *partition = dc_partition_of(key->hash);
	DcSharedEntry *entry;
	DcRef		ref;
	DcRef		old_ref;
	DcPutResult result = make_entry(key, content, &ref);

	if (result != DC_PUT_STORED)
		return result;
	entry = dc_entry_at(ref);
	pg_atomic_write_u32(&entry->hits, usage->hits);
	pg_atomic_write_u32(&entry->last_used, DC_SECONDS(usage->last_used_at));
	pg_atomic_write_u32(&entry->marks, usage->marks |
						(pg_atomic_read_u32(&entry->marks) & DC_MARK_WHOLE));
	entry->unused_refreshes = usage->unused_refreshes;
	entry->credit = usage->credit;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (find_locked(key, &old_ref) != NULL)
		result = DC_PUT_SUPERSEDED;
	else if (!permit(arg))
		result = DC_PUT_NOT_PERMITTED;
	else
		link_locked(partition, ref, entry);
	LWLockRelease(&partition->lock);

	if (result != DC_PUT_STORED)
		free_entry(ref);
	return result;
}

/* Remove the entries that match; returns how many.  Throws nothing. */
int64
dc_store_remove(DcMatch match, void *arg)
{
	int64		removed = 0;

	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];
		DcRef		at;

		LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
		at = partition->age.oldest;
		while (at != 0)
		{
			DcSharedEntry *entry = dc_entry_at(at);
			DcRef		newer = entry->links[DC_CHAIN_AGE].newer;

			if (match(entry, arg))
			{
				dc_estimate_removed(entry->hash);
				(void) unlink_locked(partition, at, entry);
				removed++;
			}
			at = newer;
		}
		LWLockRelease(&partition->lock);
	}
	return removed;
}

/* Visit all entries, a partition at a time, each locked for reading. */
void
dc_store_scan(DcVisit visit, void *arg)
{
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		LWLockAcquire(&partition->lock, LW_SHARED);
		for (DcRef at = partition->age.oldest; at != 0;)
		{
			DcSharedEntry *entry = dc_entry_at(at);

			visit(entry, arg);
			at = entry->links[DC_CHAIN_AGE].newer;
		}
		LWLockRelease(&partition->lock);
	}
}

typedef struct Exporter
{
	DcExport	export;
	void	   *arg;
	char	   *payload;		/* a copy, as it may be in several pieces */
	Size		capacity;
} Exporter;

static void
export_entry(const DcSharedEntry *entry, void *arg)
{
	Exporter   *exporter = arg;
	DcSharedEntry *e = unconstify(DcSharedEntry *, entry);
	const DcSharedDefinition *definition = dc_entry_definition(e);
	DcKey		key = {
		.database = definition->database,
		.widget = definition->widget,
		.version = definition->version,
		.hash = e->hash,
		.tenant_hash = e->tenant_hash,
		.tenant_len = e->tenant_len,
		.params_len = e->params_len,
		.tenant = DC_ENTRY_TENANT(e),
		.params = DC_ENTRY_PARAMS(e)
	};
	DcContent	content = {
		.proof = DC_ENTRY_PROOF(e),
		.proof_len = e->proof_len,
		.dependencies = definition->dependencies,
		.dependencies_len = definition->dependencies_len,
		.payload_len = e->payload_len,
		.answer_len = e->answer_len,
		.etag = e->etag,
		.generated_at = e->generated_at,
		.fresh_at = dc_entry_fresh_at(e),
		.valid_from = dc_entry_valid_from(e),
		.expires_at = e->expires_at,
		.compute_us = e->compute_us
	};
	DcUsage		usage = {
		.hits = dc_entry_hits(e),
		.last_used_at = dc_entry_last_used(e),
		.marks = pg_atomic_read_u32(&e->marks) & ~DC_MARKS_INTERNAL,
		.unused_refreshes = e->unused_refreshes,
		.credit = e->credit
	};

	if (exporter->capacity < e->payload_len)
	{
		if (exporter->payload != NULL)
			pfree(exporter->payload);
		exporter->capacity = Max((Size) e->payload_len, 8192);
		exporter->payload = MemoryContextAllocHuge(CurrentMemoryContext,
												   exporter->capacity);
	}
	dc_entry_copy(e, exporter->payload);
	content.payload = exporter->payload;
	exporter->export(&key, &content, &usage, exporter->arg);
}

/*
 * Give out all that is worth keeping of the entries, the oldest of each partition
 * first, so that dc_store_restore() finds them in the same order.  What the
 * pointers point to is the entry, whose partition is locked for reading.
 */
void
dc_store_export(DcExport export, void *arg)
{
	Exporter	exporter = {.export = export,.arg = arg};

	dc_store_scan(export_entry, &exporter);
}

/* How many entries there are. */
uint64
dc_store_entries(void)
{
	uint64		entries = 0;

	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		LWLockAcquire(&partition->lock, LW_SHARED);
		entries += partition->nentries;
		LWLockRelease(&partition->lock);
	}
	return entries;
}

/* How often something has happened since the start. */
uint64
dc_store_events(DcStoreEvent event)
{
	return pg_atomic_read_u64(&dc_store->events[event]);
}

/*
 * When a useful entry was last evicted for want of memory, and how long it had
 * not been used by then, in microseconds; false: never.
 */
bool
dc_store_last_evicted(TimestampTz *at, int64 *idle_us)
{
	*at = (TimestampTz) pg_atomic_read_u64(&dc_store->evicted_at);
	*idle_us = (int64) pg_atomic_read_u64(&dc_store->evicted_idle_us);
	return *at != 0;
}
