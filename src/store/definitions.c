/*-------------------------------------------------------------------------
 *
 * definitions.c
 *		What all entries of a definition have in common.
 *
 * A widget may have as many entries as it has tenants.  What is the same in all
 * of them (whose they are, and what they depend on) is kept once.  It is made with
 * the first entry and goes with the last: an entry counts as a use from before it
 * is put into the table until after it has been taken out.
 *
 * Should two sessions not agree on what the entries of a version depend on, there
 * are two of that version, and each entry keeps to its own.
 *
 * Locking: one LWLock over the hash chains; shared to find one and use it, or to look
 * at all; exclusive to add one, and to remove one that is not used.  It may be taken
 * with a partition locked, and under it the lock of the memory.  So "uses" can only
 * leave 0 while somebody has the lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "mix.h"

static Size
size_of(uint32 dependencies_len)
{
	return offsetof(DcSharedDefinition, dependencies) + dependencies_len;
}

static DcRef *
bucket_of(Oid database, uint32 widget)
{
	uint64		hash = dc_mix64((uint64) database << 32 | widget);

	return &dc_store->definitions[hash % DC_DEFINITION_BUCKETS];
}

/* Find one, and use it; 0: there is none.  The lock is held in any mode. */
static DcRef
use_locked(const DcKey *key, const DcContent *content)
{
	DcRef		at = *bucket_of(key->database, key->widget);

	while (at != 0)
	{
		DcSharedDefinition *definition = dc_definition_at(at);

		if (definition->widget == key->widget &&
			definition->version == key->version &&
			definition->database == key->database &&
			definition->dependencies_len == content->dependencies_len &&
			memcmp(definition->dependencies, content->dependencies,
				   content->dependencies_len) == 0)
		{
			pg_atomic_fetch_add_u32(&definition->uses, 1);
			break;
		}
		at = definition->next;
	}
	return at;
}

/* Make one that is used once; 0: there is no room. */
static DcRef
make(const DcKey *key, const DcContent *content)
{
	Size		size = size_of(content->dependencies_len);
	DcRef		ref = dc_evict_alloc(size, size);

	if (ref != 0)
	{
		DcSharedDefinition *definition = dc_definition_at(ref);

		definition->number = pg_atomic_add_fetch_u64(&dc_store->definition_numbers, 1);
		definition->version = key->version;
		definition->database = key->database;
		definition->widget = key->widget;
		pg_atomic_init_u32(&definition->uses, 1);
		definition->dependencies_len = content->dependencies_len;
		memcpy(definition->dependencies, content->dependencies,
			   content->dependencies_len);
	}
	return ref;
}

/*
 * The definition that an answer is of, for an entry that is to be made.  Returns 0
 * if there is no room for it.  No lock is held.
 */
DcRef
dc_definition_use(const DcKey *key, const DcContent *content)
{
	DcRef	   *bucket = bucket_of(key->database, key->widget);
	DcRef		ref;
	DcRef		made;

	LWLockAcquire(&dc_store->definitions_lock, LW_SHARED);
	ref = use_locked(key, content);
	LWLockRelease(&dc_store->definitions_lock);
	if (ref != 0)
		return ref;

	/* without the lock, since others may have to give way for it */
	made = make(key, content);
	if (made == 0)
		return 0;
	LWLockAcquire(&dc_store->definitions_lock, LW_EXCLUSIVE);
	ref = use_locked(key, content);
	if (ref == 0)
	{
		ref = made;
		dc_definition_at(ref)->next = *bucket;
		*bucket = ref;
	}
	LWLockRelease(&dc_store->definitions_lock);
	if (ref != made)
		dc_pieces_free(made);
	return ref;
}

/*
 * An entry is no more: its definition goes with the last.  Who was not the last, but
 * finds it unused nevertheless, or gone, or another in its place, has met one that
 * was used again in between; whoever comes first removes it.
 */
void
dc_definition_release(DcRef ref)
{
	DcSharedDefinition *definition = dc_definition_at(ref);
	DcRef	   *link = bucket_of(definition->database, definition->widget);

	if (pg_atomic_sub_fetch_u32(&definition->uses, 1) > 0)
		return;

	LWLockAcquire(&dc_store->definitions_lock, LW_EXCLUSIVE);
	while (*link != 0 && *link != ref)
		link = &dc_definition_at(*link)->next;
	if (*link == ref && pg_atomic_read_u32(&definition->uses) == 0)
	{
		*link = definition->next;
		dc_pieces_free(ref);
	}
	LWLockRelease(&dc_store->definitions_lock);
}

/* How many bytes all of them are, and how many they take. */
void
dc_definitions_size(Size *used, Size *taken)
{
	*used = *taken = 0;
	LWLockAcquire(&dc_store->definitions_lock, LW_SHARED);
	for (int i = 0; i < DC_DEFINITION_BUCKETS; i++)
	{
		for (DcRef at = dc_store->definitions[i]; at != 0; at = dc_definition_at(at)->next)
		{
			*used += size_of(dc_definition_at(at)->dependencies_len);
			*taken += dc_pieces_size(at);
		}
	}
	LWLockRelease(&dc_store->definitions_lock);
}
