/*-------------------------------------------------------------------------
 *
 * store.h
 *		The entries: keys, answers, and what was noted about them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_STORE_H
#define DASHCACHE_STORE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "port/atomics.h"
#include "store/pieces.h"

/*
 * The key of an entry.  "version" tells one definition of the widget from
 * another and is never used twice, not even by another database that comes to
 * have the same OID.  "hash" comes from dc_store_hash().
 */
typedef struct DcKey
{
	Oid			database;
	uint32		widget;
	uint64		version;
	uint32		hash;
	uint32		tenant_hash;	/* the same for tenants that are equal */
	uint32		tenant_len;
	uint32		params_len;
	const char *tenant;
	const char *params;
} DcKey;

/* Widgets that together must not hold more than so many bytes; 0: no limit. */
typedef struct DcGroup
{
	Size		limit;
	int			nwidgets;
	const uint32 *widgets;
} DcGroup;

/*
 * What is stored besides the key.  The proof is the caller's, but for its first
 * eight bytes: a number, in which an entry never gives way to a lower one.  So is
 * what it depends on, which is mostly the same for all of a definition, and is
 * kept once for all for which it is.
 */
typedef struct DcContent
{
	const void *proof;
	uint16		proof_len;
	const void *dependencies;
	uint32		dependencies_len;
	const char *payload;		/* or what dc_compress() has made of it */
	Size		payload_len;
	Size		answer_len;		/* before it was compressed, if it was */
	bool		background;		/* nobody has asked for it now */
	bool		missed;			/* it was computed since it was not there */
	uint32		digest;			/* of the proof: equal if nothing has changed */
	uint64		etag;
	TimestampTz generated_at;
	TimestampTz fresh_at;		/* was right then or later; DT_NOBEGIN:
								 * unknown */
	TimestampTz valid_from;
	TimestampTz expires_at;
	uint32		compute_us;
	DcGroup		group;			/* the widget's dashboard */
} DcContent;

/* The chains that an entry is in, besides that of its bucket. */
typedef enum DcChainKind
{
	DC_CHAIN_AGE,				/* its partition's, by insertion */
	DC_CHAIN_TENANT,			/* its tenant's */
	DC_CHAIN_WIDGET				/* its widget's */
} DcChainKind;

#define DC_CHAINS (DC_CHAIN_WIDGET + 1)

typedef struct DcLinks
{
	DcRef		older;
	DcRef		newer;
} DcLinks;

/* What was noted about the use of an entry. */
typedef struct DcUsage
{
	uint32		hits;
	TimestampTz last_used_at;	/* to a second; 0: never */
	uint32		marks;			/* DC_MARK_... */
	uint8		unused_refreshes;
	uint8		credit;			/* see sieve.h */
} DcUsage;

/*
 * A widget's definition, as far as its entries need it: what would be the same in
 * all of them.  Constant while it has entries, but for "uses" and "next".
 */
typedef struct DcSharedDefinition
{
	uint64		number;			/* never used twice while the server runs */
	uint64		version;
	Oid			database;
	uint32		widget;
	DcRef		next;			/* in the hash chain */
	pg_atomic_uint32 uses;		/* entries, and those that are being made */
	uint32		dependencies_len;
	char		dependencies[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} DcSharedDefinition;

/*
 * An entry: what a piece of the store's memory holds.  All is constant while
 * the entry is in the table, but for the links, "credit", and the atomics.
 * "data" holds proof, tenant, params and payload, with nothing in between; the
 * payload may go on in further pieces (dc_entry_copy()).
 *
 * There may be millions of them, so times are as short as they can be: see
 * dc_entry_fresh_at() and the others below.
 */
typedef struct DcSharedEntry
{
	/* what a hit seldom needs, or not at all */
	DcLinks		links[DC_CHAINS];
	uint32		tenant_hash;
	uint32		fresh_ms;		/* so long before generated_at; the most:
								 * unknown */
	uint32		valid_from;		/* second; 0: always */
	pg_atomic_uint32 refresh_asked; /* see below */

	/* what it does need, beside the data */
	uint64		etag;
	TimestampTz generated_at;
	TimestampTz expires_at;
	DcRef		definition;
	uint32		hash;
	DcRef		next;			/* in the hash chain */
	uint32		tenant_len;
	uint32		params_len;
	uint32		payload_len;
	uint32		answer_len;		/* larger, if the payload is compressed */
	uint32		compute_us;
	pg_atomic_uint32 last_used; /* second; 0: never */
	pg_atomic_uint32 hits;
	pg_atomic_uint32 marks;		/* see below */
	uint16		proof_len;
	uint8		unused_refreshes;	/* computed in the background so often,
									 * since it was last used */
	uint8		credit;			/* see sieve.h; and, in its upper half, the
								 * weight it comes from */
	char		data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} DcSharedEntry;

StaticAssertDecl(offsetof(DcSharedEntry, data) == 112, "an entry is small");

/* Marks of an entry. */
#define DC_MARK_VISITED 1		/* used since eviction last passed by */
#define DC_MARK_USED 2			/* used since it was computed */
#define DC_MARK_OUTDATED 4		/* was found invalid by a newer snapshot */
#define DC_MARK_COMMON 8		/* is counted in dc_stats_common() */
#define DC_MARK_WHOLE 16		/* its payload is in one piece, with the rest */

/* Those that say something about how the entry is kept, and nothing to others. */
#define DC_MARKS_INTERNAL (DC_MARK_COMMON | DC_MARK_WHOLE)

/* A time in whole seconds; they last until 2136. */
#define DC_SECONDS(at) ((uint32) ((at) / USECS_PER_SEC))

/*
 * "refresh_asked": whether a worker was told to compute the entry anew; or 0;
 * or, after that has failed, the second before which it is not to be told again.
 */
#define DC_REFRESH_ASKED 1

#define DC_ENTRY_PROOF(e)	((void *) (e)->data)
#define DC_ENTRY_DEPENDENCIES(e) ((void *) dc_entry_definition(e)->dependencies)
#define DC_ENTRY_TENANT(e)	((e)->data + (e)->proof_len)
#define DC_ENTRY_PARAMS(e)	(DC_ENTRY_TENANT(e) + (e)->tenant_len)
/* what is in one piece: all but the payload */
#define DC_ENTRY_HEAD(e) \
	((Size) (DC_ENTRY_PARAMS(e) + (e)->params_len - (char *) (e)))

/*
 * The definition that an entry is of.  The entry's partition is locked in any mode,
 * or one of its chains (chains.c).
 */
static inline const DcSharedDefinition *
dc_entry_definition(const DcSharedEntry *entry)
{
	return (const DcSharedDefinition *) dc_piece_at(entry->definition)->data;
}

/* A time at which the answer was right, or not long before; or DT_NOBEGIN. */
static inline TimestampTz
dc_entry_fresh_at(const DcSharedEntry *entry)
{
	return entry->fresh_ms == PG_UINT32_MAX ? DT_NOBEGIN :
		entry->generated_at - (TimestampTz) entry->fresh_ms * 1000;
}

/* The time from which on the answer is right, or not long after. */
static inline TimestampTz
dc_entry_valid_from(const DcSharedEntry *entry)
{
	return entry->valid_from == 0 ? DT_NOBEGIN :
		Min((TimestampTz) entry->valid_from * USECS_PER_SEC, entry->generated_at);
}

/* Has somebody asked for it since it was computed? */
static inline bool
dc_entry_used(const DcSharedEntry *entry)
{
	return (pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &entry->marks)) &
			DC_MARK_USED) != 0;
}

/* When somebody has last asked for it, or its predecessors, to a second; 0: never. */
static inline TimestampTz
dc_entry_last_used(const DcSharedEntry *entry)
{
	TimestampTz at = (TimestampTz) USECS_PER_SEC *
	pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &entry->last_used));

	return dc_entry_used(entry) ? Max(at, entry->generated_at) : at;
}

static inline uint32
dc_entry_hits(const DcSharedEntry *entry)
{
	return pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &entry->hits));
}

/* What the store counts. */
typedef enum DcStoreEvent
{
	DC_STORE_EVICTED,			/* for want of memory, by the hand */
	DC_STORE_EVICTED_USELESS,	/* likewise, but had ended or changed anyway */
	DC_STORE_TENANT_EVICTED,	/* by the limit of its tenant */
	DC_STORE_DASHBOARD_EVICTED, /* by that of its dashboard */
	DC_STORE_TOO_LARGE,			/* not stored: larger than any may be */
	DC_STORE_TENANT_REFUSED,	/* ... than its tenant's limit */
	DC_STORE_DASHBOARD_REFUSED, /* ... than its dashboard's limit allows */
	DC_STORE_NO_MEMORY			/* ... no room could be made */
} DcStoreEvent;

#define DC_STORE_EVENTS (DC_STORE_NO_MEMORY + 1)

typedef enum DcPutResult
{
	DC_PUT_STORED,
	DC_PUT_SUPERSEDED,			/* a newer entry is there */
	DC_PUT_NOT_PERMITTED,
	DC_PUT_TOO_LARGE,			/* for one of the limits */
	DC_PUT_NO_MEMORY
} DcPutResult;

/* Called with a partition locked: quick, throws nothing. */
typedef bool (*DcPermit) (void *arg);
typedef bool (*DcMatch) (const DcSharedEntry *entry, void *arg);

/* Called with a partition locked for reading: may allocate and throw. */
typedef void (*DcVisit) (const DcSharedEntry *entry, void *arg);
typedef void (*DcEntryVisit) (DcSharedEntry *entry, void *arg);
typedef void (*DcExport) (const DcKey *key, const DcContent *content,
						  const DcUsage *usage, void *arg);

extern Size dc_store_shmem_min(void);
extern void dc_store_shmem_init(void *place, Size size);
extern void dc_store_attach(void *place);

extern uint32 dc_store_hash(const DcKey *key);
extern void dc_store_prefetch(const DcKey *key);
extern void dc_store_prefetch_entry(const DcKey *key);
extern DcSharedEntry *dc_store_find(const DcKey *key);
extern char *dc_store_alias(const DcKey *key, uint32 *len);
extern void dc_store_unlock(const DcKey *key);
extern void dc_store_used(DcSharedEntry *entry, TimestampTz now);
extern bool dc_entry_mark(DcSharedEntry *entry, uint32 marks);
extern void dc_entry_copy(const DcSharedEntry *entry, char *to);
extern Size dc_entry_size(const DcSharedEntry *entry);

extern DcPutResult dc_store_put(const DcKey *key, const DcContent *content,
								DcPermit permit, void *arg);
extern void dc_store_each(uint32 widget, uint64 version, uint32 hash,
						  DcEntryVisit visit, void *arg);
extern List *dc_store_keys(uint32 widget, uint64 version, uint32 hash);
extern int64 dc_store_remove(DcMatch match, void *arg);
extern void dc_store_scan(DcVisit visit, void *arg);

/*
 * Has an entry seen all changes of its sources?  Set by who knows; called with a
 * partition locked: quick, throws nothing.
 */
extern bool (*dc_store_is_current) (const DcSharedEntry *entry);
extern void dc_store_export(DcExport export, void *arg);
extern DcPutResult dc_store_restore(const DcKey *key, const DcContent *content,
									const DcUsage *usage,
									DcPermit permit, void *arg);

extern Size dc_store_largest(void);
extern void dc_definitions_size(Size *used, Size *taken);
extern uint64 dc_store_entries(void);
extern uint64 dc_store_events(DcStoreEvent event);
extern bool dc_store_last_evicted(TimestampTz *at, int64 *idle_us);

#endif							/* DASHCACHE_STORE_H */
