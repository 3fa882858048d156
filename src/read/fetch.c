/*-------------------------------------------------------------------------
 *
 * fetch.c
 *		The path of a read, from top to bottom.
 *
 * A hit: nothing forbids the cache (bypass_reason), there is an entry for the
 * key (store.c), it has not expired, and its proof holds for the caller's
 * snapshot (validity.c): its bytes are copied while its partition is locked
 * for reading, and that is all.
 *
 * A miss: the answer is computed in the caller's snapshot (compute.c), and
 * then the proof is made, that is, the view that this same snapshot has of
 * each stamp is taken.  It does not matter that this happens after the
 * computation.  Whatever the snapshot sees was announced before it was taken,
 * and what was announced since is not visible to it, so the view comes out the
 * same at any time; and a writer that commits at any moment in between makes
 * the entry invalid for the snapshots that see it, before or after the entry
 * is stored.
 *
 * Locking: in REPEATABLE READ, the sources in ACCESS SHARE mode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/fetch.h"

#include "changes.h"
#include "consistency/stamp.h"
#include "consistency/validity.h"
#include "consistency/writer.h"
#include "guc.h"
#include "preload.h"
#include "read/compute.h"
#include "store/store.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* Stands for "purged" where stamps are for what is watched. */
#define PURGE_WATCH UINT64CONST(0x70757267652d6463)

/* Stands for a widget's definition, likewise. */
#define DEFINITION_WATCH UINT64CONST(0x646566696e652d64)

/* What is needed to look for and to store the answer of one widget. */
typedef struct Lookup
{
	DcKey		key;
	DcSnapshot	snapshot;
	Datum		tenant;
	const char *dashboard;
} Lookup;

/*-------------------------------------------------------------------------
 * Tenants
 *-------------------------------------------------------------------------
 */

static void
tenant_error_callback(void *arg)
{
	errcontext("tenant of dashcache widget \"%s\"", ((DcWidget *) arg)->name);
}

/* Convert the tenant asked for to a type that its own type is not. */
static Datum
convert_tenant(const DcRequest *request, DcWidget *widget)
{
	DcTenantType *type = &widget->tenant_type;
	ErrorContextCallback callback;
	char	   *literal;
	Datum		converted;

	callback.callback = tenant_error_callback;
	callback.arg = widget;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	switch (request->tenant_type)
	{
		case INT8OID:
			literal = DatumGetCString(DirectFunctionCall1(int8out, request->tenant));
			break;
		case UUIDOID:
			literal = DatumGetCString(DirectFunctionCall1(uuid_out, request->tenant));
			break;
		default:
			literal = TextDatumGetCString(request->tenant);
			break;
	}
	converted = InputFunctionCall(&type->input, literal, type->ioparam, -1);
	error_context_stack = callback.previous;
	return converted;
}

/* The tenant asked for, as the type that the widget's query takes. */
Datum
dc_fetch_tenant(DcRequest *request, DcWidget *widget)
{
	DcTenantType *type = &widget->tenant_type;

	if (request->converted_type != type->type)
	{
		request->converted = request->tenant_type == type->type ?
			request->tenant : convert_tenant(request, widget);
		request->converted_type = type->type;
	}
	return request->converted;
}

/*
 * The bytes that tell one tenant from another in a key.  They are not text,
 * which could depend on the session's settings.
 */
uint32
dc_tenant_bytes(const DcTenantType *type, Datum *tenant, const char **bytes)
{
	if (type->byval)
	{
		*bytes = (const char *) tenant;
		return sizeof(Datum);
	}
	if (type->len == -1)
	{
		struct varlena *value = PG_DETOAST_DATUM_PACKED(*tenant);

		*bytes = VARDATA_ANY(value);
		return VARSIZE_ANY_EXHDR(value);
	}
	*bytes = DatumGetPointer(*tenant);
	return type->len >= 0 ? type->len : strlen(*bytes);
}

/* The reverse: a tenant from the bytes in a key. */
Datum
dc_tenant_from_bytes(const DcTenantType *type, const char *bytes, uint32 len)
{
	Datum		value;
	char	   *copy;

	if (type->byval)
	{
		memcpy(&value, bytes, sizeof(Datum));
		return value;
	}
	if (type->len == -1)
		return PointerGetDatum(cstring_to_text_with_len(bytes, len));
	copy = palloc(len + 1);
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return PointerGetDatum(copy);
}

/* A hash that is the same for tenants that are equal. */
uint32
dc_tenant_hash(DcTenantType *type, Datum tenant, const char *bytes, uint32 len)
{
	if (type->by_equality)
		return DatumGetUInt32(FunctionCall1Coll(&type->hash, type->collation,
												tenant));
	return hash_bytes((const unsigned char *) bytes, len);
}

/*-------------------------------------------------------------------------
 * Purges
 *
 * A purge removes entries, and must also stop those that are being computed
 * from what was there before it.  So it announces itself like a writer, at
 * once, and nothing is stored from a snapshot that does not see its end.
 *-------------------------------------------------------------------------
 */

static uint32
purge_stamp(const char *dashboard)
{
	return dc_stamp_of_tenant(PURGE_WATCH,
							  hash_bytes((const unsigned char *) dashboard,
										 strlen(dashboard)));
}

/* Announce a purge of a dashboard. */
void
dc_purge_announce(const char *dashboard)
{
	dc_stamp_push(purge_stamp(dashboard),
				  U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* May an answer from this snapshot be stored, as far as purges go? */
static bool
no_purge_since(void *arg)
{
	const Lookup *lookup = arg;

	return dc_stamp_all_seen(purge_stamp(lookup->dashboard), &lookup->snapshot);
}

/*-------------------------------------------------------------------------
 * The path
 *-------------------------------------------------------------------------
 */

/* Has this transaction written, or may it have, to what the widget reads? */
static bool
has_own_writes(const DcWidget *widget)
{
	TransactionId own = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(own))
		return false;

	/* Changes that nobody watches, and changes of the definition itself. */
	if (widget->untracked ||
		TransactionIdEquals((TransactionId) widget->version, own))
		return true;

	/* What the leader of a parallel query has written is not known here. */
	if (IsParallelWorker())
		return true;

	/* An apply worker fires no statement triggers before its row triggers. */
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return true;

	/* A statement on a parent fires no statement trigger of its partitions. */
	for (int i = 0; i < widget->nwatches; i++)
	{
		if (widget->watches[i].inherits ||
			dc_writer_wrote(widget->watches[i].relid))
			return true;
	}
	return false;
}

/* Why the cache must not be asked; NULL if it may. */
static const char *
bypass_reason(const DcWidget *widget, Snapshot snapshot)
{
	if (!dc_preloaded)
		return "not preloaded";
	if (!dc_enabled)
		return "disabled";
	if (widget->never_cached)
		return "ttl 0";
	if (RecoveryInProgress())
		return "standby";
	if (widget->broken)
		return "uncertain";
	if (IsolationIsSerializable())
		return "serializable";
	if (snapshot->snapshot_type != SNAPSHOT_MVCC || snapshot->takenDuringRecovery)
		return "old snapshot";
	if (has_own_writes(widget))
		return "own writes";
	return NULL;
}

/*
 * The stamp on which a transaction announces that it changes a widget's
 * definition.  Between the moment at which its commit is visible and that at
 * which other sessions are told to read the definition again, this tells them.
 */
uint32
dc_definition_stamp(uint32 widget)
{
	return dc_stamp_of_tenant(DEFINITION_WATCH, widget);
}

/* The stamps that a widget's answer for a tenant depends on. */
static int
collect_stamps(DcWidget *widget, Datum tenant, uint32 *stamps)
{
	int			n = 0;

	for (int i = 0; i < widget->nwatches; i++)
	{
		DcWatch    *watch = &widget->watches[i];

		stamps[n++] = dc_stamp_of_all(watch->hash);
		if (watch->keyed)
			stamps[n++] = dc_stamp_of_tenant(watch->hash,
											 DatumGetUInt32(FunctionCall1Coll(&watch->tenant_hash,
																			  watch->collation,
																			  tenant)));
	}
	stamps[n++] = dc_definition_stamp(widget->id);
	return n;
}

/* Tell the journal which change has made an entry stale. */
static void
count_changed(DcWidget *widget, Datum tenant, const DcCulprit *culprit)
{
	int			n = 0;

	dc_stats_add(widget->stats, DC_COUNT_CHANGES, 1);
	for (int i = 0; i < widget->nwatches; i++)
	{
		DcWatch    *watch = &widget->watches[i];

		if (culprit->view == n++)
			dc_changes_count_entry(culprit->xid, watch->relid, true, 0);
		if (watch->keyed && culprit->view == n++)
			dc_changes_count_entry(culprit->xid, watch->relid, false,
								   DatumGetUInt32(FunctionCall1Coll(&watch->tenant_hash,
																	watch->collation,
																	tenant)));
	}
}

/*
 * Lock the sources as the query would.
 *
 * TRUNCATE empties a table for older snapshots, too.  Who has queried the table
 * makes it wait until the end of his transaction; who is served from the cache
 * has to do the same, lest a later query in the same snapshot, which lives on
 * in REPEATABLE READ, find another answer.
 */
static void
lock_sources(const DcWidget *widget)
{
	for (int i = 0; i < widget->nwatches; i++)
		LockRelationOid(widget->watches[i].relid, AccessShareLock);
}

/*
 * Should there be an entry for a tenant that is spelled differently but equal,
 * let the key be that one.
 */
static void
use_alias(DcTenantType *type, Lookup *lookup)
{
	uint32		len;
	char	   *alias = dc_store_alias(&lookup->key, &len);

	if (alias != NULL &&
		DatumGetBool(FunctionCall2Coll(&type->equal, type->collation,
									   dc_tenant_from_bytes(type, alias, len),
									   lookup->tenant)))
	{
		lookup->key.tenant = alias;
		lookup->key.tenant_len = len;
	}
}

/*
 * Try to answer from the cache.  Returns NULL after a hit, else the reason why
 * there was none.
 */
static const char *
try_cache(DcWidget *widget, Lookup *lookup, StringInfo out, DcAnswer *answer)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcCulprit	culprit;
	const char *reason = NULL;
	bool		first = false;

	if (entry == NULL)
		return "cold";

	if (now >= entry->expires_at)
		reason = "expired";
	else if (widget->uses_clock &&
			 GetCurrentTransactionStartTimestamp() < entry->valid_from)
		reason = "old snapshot";
	else
	{
		switch (dc_proof_check(DC_ENTRY_PROOF(entry), &lookup->snapshot, &culprit))
		{
			case DC_VALID:
				break;
			case DC_CHANGED:
				reason = "changed";
				first = pg_atomic_exchange_u32(&entry->outdated, 1) == 0;
				break;
			case DC_OLD_SNAPSHOT:
				reason = "old snapshot";
				break;
			case DC_UNCERTAIN:
				reason = "uncertain";
				break;
		}
	}

	if (reason == NULL)
	{
		answer->source = DC_FROM_CACHE;
		answer->generated_at = entry->generated_at;
		answer->expires_at = entry->expires_at;
		answer->compute_ms = entry->compute_us / 1000.0;
		answer->etag = entry->etag;
		dc_store_used(entry, now);
		dc_stats_hit(widget->stats, entry->compute_us);
		appendBinaryStringInfo(out, DC_ENTRY_PAYLOAD(entry),
							   entry->payload_len);
	}
	dc_store_unlock(&lookup->key);

	if (first)
		count_changed(widget, lookup->tenant, &culprit);
	return reason;
}

/*
 * Store a computed answer.  Returns the reason why it could not be stored, or
 * NULL.
 */
static const char *
try_store(DcWidget *widget, Lookup *lookup, const char *payload,
		  Size payload_len, const DcComputed *computed, uint64 etag)
{
	int			nstamps;
	uint32	   *stamps = palloc(sizeof(uint32) * (2 * widget->nwatches + 1));
	DcProof    *proof;
	DcContent	content;

	nstamps = collect_stamps(widget, lookup->tenant, stamps);
	proof = palloc0(DC_PROOF_SIZE(nstamps));
	if (!dc_proof_make(proof, &lookup->snapshot, stamps, nstamps))
		return "uncertain";

	content.proof = proof;
	content.proof_len = DC_PROOF_SIZE(nstamps);
	content.payload = payload;
	content.payload_len = payload_len;
	content.order = lookup->snapshot.xmax;
	content.etag = etag;
	content.generated_at = computed->generated_at;
	content.valid_from = computed->valid_from;
	content.expires_at = computed->expires_at;
	content.compute_us = (uint32) Min(computed->duration_us, PG_UINT32_MAX);

	switch (dc_store_put(&lookup->key, &content, no_purge_since, lookup))
	{
		case DC_PUT_STORED:
			dc_stats_add(widget->stats, DC_COUNT_FILLS, 1);
			return NULL;
		case DC_PUT_TOO_LARGE:
			return "too large";
		case DC_PUT_NO_MEMORY:
			return "no memory";
		case DC_PUT_NOT_PERMITTED:
			return "uncertain";
		case DC_PUT_SUPERSEDED:
			break;
	}
	return NULL;
}

/* The key of the entry for the tenant of "lookup". */
static void
make_key(const DcDashboard *dashboard, DcWidget *widget, Datum params,
		 Lookup *lookup)
{
	static const char no_params[] = "";
	DcKey	   *key = &lookup->key;

	lookup->dashboard = dashboard->name;
	key->database = MyDatabaseId;
	key->widget = widget->id;
	key->version = widget->version;
	key->tenant_len = dc_tenant_bytes(&widget->tenant_type, &lookup->tenant,
									  &key->tenant);
	key->tenant_hash = dc_tenant_hash(&widget->tenant_type, lookup->tenant,
									  key->tenant, key->tenant_len);
	key->params = no_params;
	key->params_len = 0;
	if (widget->uses_params)
	{
		Jsonb	   *object = DatumGetJsonbP(params);

		key->params = VARDATA(object);
		key->params_len = VARSIZE(object) - VARHDRSZ;
	}
	key->hash = dc_store_hash(key);
	if (widget->tenant_type.by_equality)
		use_alias(&widget->tenant_type, lookup);
}

/*
 * Answer for one widget and tenant: append the JSON to "out", and say in
 * "answer" where it came from.  The caller has checked the permission.
 */
void
dc_fetch(const DcDashboard *dashboard, DcWidget *widget,
		 DcRequest *request, StringInfo out, DcAnswer *answer)
{
	Snapshot	snapshot = GetActiveSnapshot();
	DcComputed	computed;
	Lookup		lookup;
	const char *reason;
	bool		bypass;
	int			start;

	lookup.tenant = dc_fetch_tenant(request, widget);
	memset(answer, 0, sizeof(*answer));

	reason = bypass_reason(widget, snapshot);
	if (reason == NULL)
	{
		dc_snapshot_init(&lookup.snapshot, snapshot);
		if (!dc_snapshot_sees(&lookup.snapshot, widget->version))
			reason = "old snapshot";
	}
	bypass = reason != NULL;

	if (!bypass)
	{
		make_key(dashboard, widget, request->params, &lookup);

		if (IsolationUsesXactSnapshot())
			lock_sources(widget);
		reason = request->refresh ? "refresh" :
			try_cache(widget, &lookup, out, answer);
		if (reason == NULL)
		{
			ereport(DEBUG1,
					(errmsg_internal("dashcache hit: widget \"%s\" of dashboard \"%s\"",
									 widget->name, dashboard->name)));
			return;
		}
	}

	start = out->len;
	dc_compute(dashboard, widget, lookup.tenant, request->params, out, &computed);
	answer->source = DC_FROM_DATABASE;
	answer->generated_at = computed.generated_at;
	answer->expires_at = computed.expires_at;
	answer->compute_ms = computed.duration_us / 1000.0;
	answer->etag = hash_bytes_extended((const unsigned char *) out->data + start,
									   out->len - start, 0);

	if (widget->stats != NULL)
		dc_stats_add(widget->stats,
					 bypass ? DC_COUNT_BYPASSES : DC_COUNT_MISSES, 1);
	if (!bypass)
	{
		const char *refused = try_store(widget, &lookup, out->data + start,
										out->len - start, &computed,
										answer->etag);

		if (refused != NULL)
			reason = refused;
		else
			ereport(DEBUG1,
					(errmsg_internal("dashcache fill: widget \"%s\" of dashboard \"%s\", %d bytes",
									 widget->name, dashboard->name,
									 out->len - start)));
	}
	answer->reason = reason;
	ereport(DEBUG1,
			(errmsg_internal("dashcache %s: widget \"%s\" of dashboard \"%s\" (%s)",
							 bypass ? "bypass" : "miss",
							 widget->name, dashboard->name, reason)));
}

/*
 * Store an answer that was computed in the active snapshot, by whatever means.
 * Returns the reason why it could not be stored, or NULL.
 */
const char *
dc_fetch_store(const DcDashboard *dashboard, DcWidget *widget, Datum tenant,
			   Datum params, const char *payload, Size payload_len,
			   const DcComputed *computed)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Lookup		lookup;
	const char *reason = bypass_reason(widget, snapshot);

	if (reason != NULL)
		return reason;
	dc_snapshot_init(&lookup.snapshot, snapshot);
	if (!dc_snapshot_sees(&lookup.snapshot, widget->version))
		return "old snapshot";
	lookup.tenant = tenant;
	make_key(dashboard, widget, params, &lookup);
	return try_store(widget, &lookup, payload, payload_len, computed,
					 hash_bytes_extended((const unsigned char *) payload,
										 payload_len, 0));
}
