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
#include "utils/dsa.h"

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

/* What is stored besides the key. */
typedef struct DcContent
{
	const void *proof;			/* the caller's, opaque here */
	Size		proof_len;
	const char *payload;
	Size		payload_len;
	bool		background;		/* nobody has asked for it now */
	uint64		order;			/* an entry never gives way to a lower one */
	uint64		etag;
	TimestampTz generated_at;
	TimestampTz fresh_at;		/* was right then or later; DT_NOBEGIN:
								 * unknown */
	TimestampTz valid_from;
	TimestampTz expires_at;
	TimestampTz refresh_at;		/* from then on it should be computed anew */
	uint32		compute_us;
} DcContent;

/* What was noted about the use of an entry. */
typedef struct DcUsage
{
	uint64		hits;
	TimestampTz last_used_at;	/* 0: never */
	uint32		visited;
	uint32		unused_refreshes;
} DcUsage;

/*
 * An entry.  All is constant while the entry is in the table, but for the
 * links, which the partition lock protects, and the atomics.  "data" holds
 * proof, tenant, params and payload, each but the last aligned.
 */
typedef struct DcSharedEntry
{
	dsa_pointer next;			/* in the hash chain */
	dsa_pointer older;			/* in the order of insertion */
	dsa_pointer newer;
	Oid			database;
	uint32		widget;
	uint64		version;
	uint32		hash;
	uint32		tenant_hash;
	uint32		tenant_len;
	uint32		params_len;
	uint32		proof_len;
	Size		payload_len;
	uint64		order;
	uint64		etag;
	TimestampTz generated_at;
	TimestampTz fresh_at;
	TimestampTz valid_from;
	TimestampTz expires_at;
	TimestampTz refresh_at;
	pg_atomic_uint64 last_used_at;	/* TimestampTz; 0: never */
	pg_atomic_uint64 hits;
	pg_atomic_uint32 visited;	/* used since eviction last passed by */
	pg_atomic_uint32 outdated;	/* was found invalid by a newer snapshot */
	pg_atomic_uint32 refresh_asked; /* see below */
	uint32		unused_refreshes;	/* computed in the background so often,
									 * since it was last used */
	uint32		compute_us;
	char		data[FLEXIBLE_ARRAY_MEMBER] pg_attribute_aligned(MAXIMUM_ALIGNOF);
} DcSharedEntry;

StaticAssertDecl(offsetof(DcSharedEntry, data) % MAXIMUM_ALIGNOF == 0,
				 "what an entry holds is aligned");

/*
 * "refresh_asked": whether a worker was told to compute the entry anew; or 0;
 * or, after that has failed, the second before which it is not to be told again.
 */
#define DC_REFRESH_ASKED 1
#define DC_REFRESH_SECONDS(at) ((uint32) ((at) / USECS_PER_SEC))

#define DC_ENTRY_PROOF(e)	((void *) (e)->data)
#define DC_ENTRY_TENANT(e)	((e)->data + MAXALIGN((e)->proof_len))
#define DC_ENTRY_PARAMS(e)	(DC_ENTRY_TENANT(e) + MAXALIGN((e)->tenant_len))
#define DC_ENTRY_PAYLOAD(e) (DC_ENTRY_PARAMS(e) + (e)->params_len)
#define DC_ENTRY_SIZE(e) \
	((Size) (DC_ENTRY_PAYLOAD(e) - (char *) (e)) + (e)->payload_len)

typedef enum DcPutResult
{
	DC_PUT_STORED,
	DC_PUT_SUPERSEDED,			/* a newer entry is there */
	DC_PUT_NOT_PERMITTED,
	DC_PUT_TOO_LARGE,
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
extern DcSharedEntry *dc_store_find(const DcKey *key);
extern char *dc_store_alias(const DcKey *key, uint32 *len);
extern void dc_store_unlock(const DcKey *key);
extern void dc_store_used(DcSharedEntry *entry, TimestampTz now);

extern DcPutResult dc_store_put(const DcKey *key, const DcContent *content,
								DcPermit permit, void *arg);
extern void dc_store_each(uint32 widget, uint64 version, uint32 hash,
						  DcEntryVisit visit, void *arg);
extern List *dc_store_keys(uint32 widget, uint64 version, uint32 hash);
extern int64 dc_store_remove(DcMatch match, void *arg);
extern void dc_store_scan(DcVisit visit, void *arg);

extern void dc_store_export(DcExport export, void *arg);
extern DcPutResult dc_store_restore(const DcKey *key, const DcContent *content,
									const DcUsage *usage,
									DcPermit permit, void *arg);

extern Size dc_store_largest(void);
extern void dc_store_usage(uint64 *entries, Size *used);

#endif							/* DASHCACHE_STORE_H */
