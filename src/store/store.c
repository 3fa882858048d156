/*-------------------------------------------------------------------------
 *
 * store.c
 *		The entries: keys, answers, and what was noted about them.
 *
 * A hash table in shared memory, divided into partitions.  An entry is one
 * chunk of a DSA area that was made in place, inside the memory reserved at
 * start and limited to it; so key, answer and bookkeeping all come out of
 * dashcache.memory, and nothing is ever taken beyond it.
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
 * may be taken, in this order: the stats lock, the locks of the DSA area.
 * New chunks are allocated before the lock is taken, because making room may
 * have to visit other partitions (evict.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "stats.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

DcSharedStore *dc_store = NULL;

static dsa_area *area = NULL;

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
	dsa_area   *made;

	dc_store = place;
	dc_store->tranche = LWLockNewTrancheId();
	dc_store->dsa_tranche = LWLockNewTrancheId();
	pg_atomic_init_u32(&dc_store->evict_next, 0);
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		memset(partition, 0, sizeof(*partition));
		LWLockInitialize(&partition->lock, dc_store->tranche);
	}

	/* a bucket for each kilobyte: half full with entries of 2 kB */
	dc_store->nbuckets = pg_prevpower2_32((uint32) Min(size / 1024, 1U << 31));
	dc_store->nbuckets = Max(dc_store->nbuckets, DC_PARTITIONS);
	memset(dc_store->buckets, 0, sizeof(dsa_pointer) * dc_store->nbuckets);

	dc_store->area_offset = MAXALIGN(offsetof(DcSharedStore, buckets) +
									 sizeof(dsa_pointer) * dc_store->nbuckets);
	dc_store->area_size = size - dc_store->area_offset;
	made = dsa_create_in_place((char *) place + dc_store->area_offset,
							   dc_store->area_size,
							   dc_store->dsa_tranche, NULL);
	/* it lives as long as the server, and never gets a segment of its own */
	dsa_pin(made);
	dsa_set_size_limit(made, dc_store->area_size);
	dsa_detach(made);
}

/* Learn where the store is; in every process. */
void
dc_store_attach(void *place)
{
	dc_store = place;
	LWLockRegisterTranche(dc_store->tranche, "dashcache_store");
	LWLockRegisterTranche(dc_store->dsa_tranche, "dashcache_dsa");
}

static void
detach_area(int code, Datum arg)
{
	dsa_detach(area);
	area = NULL;
	/* an area made in place does not count its users down by itself */
	dsa_release_in_place((char *) dc_store + dc_store->area_offset);
}

/* This process's handle on the area; attaches at first use. */
dsa_area *
dc_store_area(void)
{
	if (unlikely(area == NULL))
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		area = dsa_attach_in_place((char *) dc_store + dc_store->area_offset,
								   NULL);
		dsa_pin_mapping(area);
		before_shmem_exit(detach_area, (Datum) 0);
		MemoryContextSwitchTo(old);
	}
	return area;
}

/* The hash of a key, over all of it, the tenant by its own hash. */
uint32
dc_store_hash(const DcKey *key)
{
	uint32		hash;

	hash = hash_combine(key->tenant_hash, murmurhash32(key->widget));
	hash = hash_combine(hash, murmurhash32(key->database));
	if (key->params_len > 0)
		hash = hash_combine(hash, hash_bytes((const unsigned char *) key->params,
											 key->params_len));
	return murmurhash32(hash);
}

static dsa_pointer *
bucket_of(uint32 hash)
{
	/* the low bits choose the partition, so that a bucket has one lock */
	return &dc_store->buckets[hash & (dc_store->nbuckets - 1)];
}

static bool
same_but_tenant(const DcSharedEntry *entry, const DcKey *key)
{
	return entry->hash == key->hash &&
		entry->widget == key->widget &&
		entry->database == key->database &&
		entry->version == key->version &&
		entry->params_len == key->params_len &&
		memcmp(DC_ENTRY_PARAMS(entry), key->params, key->params_len) == 0;
}

static bool
key_matches(const DcSharedEntry *entry, const DcKey *key)
{
	return same_but_tenant(entry, key) &&
		entry->tenant_len == key->tenant_len &&
		memcmp(DC_ENTRY_TENANT(entry), key->tenant, key->tenant_len) == 0;
}

static DcSharedEntry *
find_locked(const DcKey *key, dsa_pointer *pointer)
{
	dsa_pointer at = *bucket_of(key->hash);

	while (DsaPointerIsValid(at))
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (key_matches(entry, key))
		{
			*pointer = at;
			return entry;
		}
		at = entry->next;
	}
	return NULL;
}

/*
 * Find an entry.  If there is one it is returned with its partition locked
 * for reading, and the caller has to call dc_store_unlock() soon; else no lock
 * is held.
 */
DcSharedEntry *
dc_store_find(const DcKey *key)
{
	DcPartition *partition = dc_partition_of(key->hash);
	DcSharedEntry *entry;
	dsa_pointer pointer;

	(void) dc_store_area();		/* attach without the lock */
	LWLockAcquire(&partition->lock, LW_SHARED);
	entry = find_locked(key, &pointer);
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

	(void) dc_store_area();
	LWLockAcquire(&partition->lock, LW_SHARED);
	for (dsa_pointer at = *bucket_of(key->hash); DsaPointerIsValid(at);)
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

	(void) dc_store_area();
	LWLockAcquire(&partition->lock, LW_SHARED);
	for (dsa_pointer at = *bucket_of(hash); DsaPointerIsValid(at);)
	{
		DcSharedEntry *entry = dc_entry_at(at);

		if (entry->hash == hash && entry->widget == widget &&
			entry->version == version && entry->database == MyDatabaseId)
			visit(entry, arg);
		at = entry->next;
	}
	LWLockRelease(&partition->lock);
}

static void
copy_key(DcSharedEntry *entry, void *arg)
{
	List	  **keys = arg;
	DcKey	   *key = palloc(sizeof(DcKey));
	char	   *tenant = palloc(entry->tenant_len + 1);
	char	   *params = palloc(entry->params_len + 1);

	key->database = entry->database;
	key->widget = entry->widget;
	key->version = entry->version;
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
void
dc_store_unlock(const DcKey *key)
{
	LWLockRelease(&dc_partition_of(key->hash)->lock);
}

/* Note the use of an entry.  The partition is locked in any mode. */
void
dc_store_used(DcSharedEntry *entry, TimestampTz now)
{
	pg_atomic_fetch_add_u64(&entry->hits, 1);
	pg_atomic_write_u64(&entry->last_used_at, (uint64) now);
	if (pg_atomic_read_u32(&entry->visited) == 0)
		pg_atomic_write_u32(&entry->visited, 1);
}

static void
count_gauges(const DcSharedEntry *entry, int sign)
{
	DcSharedStats *stats = dc_stats_get(entry->database, entry->widget);

	dc_stats_add(stats, DC_COUNT_ENTRIES, sign);
	dc_stats_add(stats, DC_COUNT_BYTES, sign * (int64) entry->payload_len);
}

/*
 * Take an entry out of the table and of its partition's list, and free it.
 * The partition is locked exclusively.
 */
void
dc_store_unlink_locked(DcPartition *partition, dsa_pointer victim,
					   DcSharedEntry *entry)
{
	dsa_pointer *link = bucket_of(entry->hash);

	Assert(LWLockHeldByMeInMode(&partition->lock, LW_EXCLUSIVE));

	while (*link != victim)
	{
		Assert(DsaPointerIsValid(*link));
		link = &dc_entry_at(*link)->next;
	}
	*link = entry->next;

	if (DsaPointerIsValid(entry->older))
		dc_entry_at(entry->older)->newer = entry->newer;
	else
		partition->oldest = entry->newer;
	if (DsaPointerIsValid(entry->newer))
		dc_entry_at(entry->newer)->older = entry->older;
	else
		partition->newest = entry->older;
	if (partition->hand == victim)
		partition->hand = entry->newer;

	partition->nentries--;
	partition->used -= DC_ENTRY_SIZE(entry);
	count_gauges(entry, -1);
	dsa_free(dc_store_area(), victim);
}

static void
link_locked(DcPartition *partition, dsa_pointer pointer, DcSharedEntry *entry)
{
	dsa_pointer *bucket = bucket_of(entry->hash);

	entry->next = *bucket;
	*bucket = pointer;

	entry->older = partition->newest;
	entry->newer = InvalidDsaPointer;
	if (DsaPointerIsValid(partition->newest))
		dc_entry_at(partition->newest)->newer = pointer;
	else
		partition->oldest = pointer;
	partition->newest = pointer;

	partition->nentries++;
	partition->used += DC_ENTRY_SIZE(entry);
	count_gauges(entry, 1);
}

/* The largest entry that is accepted, in bytes: a quarter of the memory. */
Size
dc_store_largest(void)
{
	return dc_store->area_size / 4;
}

/* Allocate, evicting others until there is room or nothing is left to evict. */
static dsa_pointer
allocate(Size size)
{
	for (;;)
	{
		dsa_pointer pointer = dsa_allocate_extended(dc_store_area(), size,
													DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);

		if (DsaPointerIsValid(pointer) || dc_evict(size) == 0)
			return pointer;
	}
}

/* Allocate an entry and fill it in.  The result is DC_PUT_STORED if that worked. */
static DcPutResult
make_entry(const DcKey *key, const DcContent *content, dsa_pointer *pointer)
{
	Size		size = offsetof(DcSharedEntry, data) +
	MAXALIGN(content->proof_len) + MAXALIGN(key->tenant_len) +
	key->params_len + content->payload_len;
	DcSharedEntry *entry;

	if (size > dc_store_largest())
		return DC_PUT_TOO_LARGE;
	*pointer = allocate(size);
	if (!DsaPointerIsValid(*pointer))
		return DC_PUT_NO_MEMORY;

	entry = dc_entry_at(*pointer);
	memset(entry, 0, offsetof(DcSharedEntry, data));
	entry->database = key->database;
	entry->widget = key->widget;
	entry->version = key->version;
	entry->hash = key->hash;
	entry->tenant_hash = key->tenant_hash;
	entry->tenant_len = key->tenant_len;
	entry->params_len = key->params_len;
	entry->proof_len = content->proof_len;
	entry->payload_len = content->payload_len;
	entry->order = content->order;
	entry->etag = content->etag;
	entry->generated_at = content->generated_at;
	entry->fresh_at = content->fresh_at;
	entry->valid_from = content->valid_from;
	entry->expires_at = content->expires_at;
	entry->refresh_at = content->refresh_at;
	entry->compute_us = content->compute_us;
	pg_atomic_init_u64(&entry->last_used_at,
					   content->background ? 0 : (uint64) content->generated_at);
	pg_atomic_init_u64(&entry->hits, 0);
	pg_atomic_init_u32(&entry->visited, 0);
	pg_atomic_init_u32(&entry->outdated, 0);
	pg_atomic_init_u32(&entry->refresh_asked, 0);
	memcpy(DC_ENTRY_PROOF(entry), content->proof, content->proof_len);
	memcpy(DC_ENTRY_TENANT(entry), key->tenant, key->tenant_len);
	memcpy(DC_ENTRY_PARAMS(entry), key->params, key->params_len);
	memcpy(DC_ENTRY_PAYLOAD(entry), content->payload, content->payload_len);
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
	dsa_pointer pointer;
	dsa_pointer old_pointer;
	DcPutResult result = make_entry(key, content, &pointer);

	if (result != DC_PUT_STORED)
		return result;
	entry = dc_entry_at(pointer);

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	old = find_locked(key, &old_pointer);
	if (old != NULL && old->order > content->order)
		result = DC_PUT_SUPERSEDED;
	else if (!permit(arg))
		result = DC_PUT_NOT_PERMITTED;
	else
	{
		if (old != NULL)
		{
			/* the use that was made of it says something about the new one */
			pg_atomic_write_u64(&entry->hits, pg_atomic_read_u64(&old->hits));
			if (content->background)
			{
				uint64		last_used_at = pg_atomic_read_u64(&old->last_used_at);

				pg_atomic_write_u64(&entry->last_used_at, last_used_at);
				if ((TimestampTz) last_used_at < old->generated_at)
					entry->unused_refreshes = old->unused_refreshes + 1;
			}
			dc_store_unlink_locked(partition, old_pointer, old);
		}
		link_locked(partition, pointer, entry);
	}
	LWLockRelease(&partition->lock);

	if (result != DC_PUT_STORED)
		dsa_free(dc_store_area(), pointer);
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
	dsa_pointer pointer;
	dsa_pointer old_pointer;
	DcPutResult result = make_entry(key, content, &pointer);

	if (result != DC_PUT_STORED)
		return result;
	entry = dc_entry_at(pointer);
	pg_atomic_write_u64(&entry->hits, usage->hits);
	pg_atomic_write_u64(&entry->last_used_at, (uint64) usage->last_used_at);
	pg_atomic_write_u32(&entry->visited, usage->visited);
	entry->unused_refreshes = usage->unused_refreshes;

	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	if (find_locked(key, &old_pointer) != NULL)
		result = DC_PUT_SUPERSEDED;
	else if (!permit(arg))
		result = DC_PUT_NOT_PERMITTED;
	else
		link_locked(partition, pointer, entry);
	LWLockRelease(&partition->lock);

	if (result != DC_PUT_STORED)
		dsa_free(dc_store_area(), pointer);
	return result;
}

/* Remove the entries that match; returns how many.  Throws nothing. */
int64
dc_store_remove(DcMatch match, void *arg)
{
	int64		removed = 0;

	(void) dc_store_area();
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];
		dsa_pointer at;

		LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
		at = partition->oldest;
		while (DsaPointerIsValid(at))
		{
			DcSharedEntry *entry = dc_entry_at(at);
			dsa_pointer newer = entry->newer;

			if (match(entry, arg))
			{
				dc_store_unlink_locked(partition, at, entry);
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
	(void) dc_store_area();
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		LWLockAcquire(&partition->lock, LW_SHARED);
		for (dsa_pointer at = partition->oldest; DsaPointerIsValid(at);)
		{
			DcSharedEntry *entry = dc_entry_at(at);

			visit(entry, arg);
			at = entry->newer;
		}
		LWLockRelease(&partition->lock);
	}
}

typedef struct Exporter
{
	DcExport	export;
	void	   *arg;
} Exporter;

static void
export_entry(const DcSharedEntry *entry, void *arg)
{
	Exporter   *exporter = arg;
	DcSharedEntry *e = unconstify(DcSharedEntry *, entry);
	DcKey		key = {
		.database = e->database,
		.widget = e->widget,
		.version = e->version,
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
		.payload = DC_ENTRY_PAYLOAD(e),
		.payload_len = e->payload_len,
		.order = e->order,
		.etag = e->etag,
		.generated_at = e->generated_at,
		.fresh_at = e->fresh_at,
		.valid_from = e->valid_from,
		.expires_at = e->expires_at,
		.refresh_at = e->refresh_at,
		.compute_us = e->compute_us
	};
	DcUsage		usage = {
		.hits = pg_atomic_read_u64(&e->hits),
		.last_used_at = (TimestampTz) pg_atomic_read_u64(&e->last_used_at),
		.visited = pg_atomic_read_u32(&e->visited),
		.unused_refreshes = e->unused_refreshes
	};

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
	Exporter	exporter = {export, arg};

	dc_store_scan(export_entry, &exporter);
}

/* How many entries there are, and how many bytes they take. */
void
dc_store_usage(uint64 *entries, Size *used)
{
	*entries = 0;
	*used = 0;
	for (int i = 0; i < DC_PARTITIONS; i++)
	{
		DcPartition *partition = &dc_store->partitions[i];

		LWLockAcquire(&partition->lock, LW_SHARED);
		*entries += partition->nentries;
		*used += partition->used;
		LWLockRelease(&partition->lock);
	}
}
