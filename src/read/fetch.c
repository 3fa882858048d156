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
 * Of the sessions that miss the same entry at once one computes and the others
 * wait for it (flight.c), then look again, each with its own snapshot.  A
 * session whose snapshot is too old for the entry, or cannot tell, computes
 * for itself: neither could it use what others store, nor they what it has.
 *
 * What is no longer right may be served nevertheless, where the widget's
 * max_stale allows it (usable_stale); somebody is asked to compute it anew.
 *
 * Locking: in REPEATABLE READ, the sources in ACCESS SHARE mode.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/fetch.h"

#include "changes.h"
#include "consistency/own.h"
#include "consistency/stamp.h"
#include "consistency/validity.h"
#include "consistency/writer.h"
#include "guc.h"
#include "mix.h"
#include "preload.h"
#include "read/compute.h"
#include "store/flight.h"
#include "store/refresh_queue.h"
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
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* Stands for "purged" where stamps are for what is watched. */
#define PURGE_WATCH UINT64CONST(0x70757267652d6463)

/* Stands for a widget's definition, likewise. */
#define DEFINITION_WATCH UINT64CONST(0x646566696e652d64)

/*
 * One widget's answer on its way: what is asked for, what is needed to look for
 * it and to store it, and where the answer goes.
 */
typedef struct Lookup
{
	const DcDashboard *dashboard;
	DcWidget   *widget;
	Datum		tenant;
	Datum		params;
	bool		refresh;		/* compute, whatever is there */
	bool		keep_last;		/* an error may be answered with max_stale */
	DcKey		key;
	DcSnapshot	snapshot;
	StringInfo	out;
	DcAnswer   *answer;

	/* why there was no hit; set by try_cache() */
	const char *reason;
	/* others' answers would be of no use, nor ours to them; likewise */
	bool		alone;
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

/* The params from the bytes in a key, which has none where none are used. */
Datum
dc_params_from_bytes(const char *bytes, uint32 len)
{
	Jsonb	   *params;

	if (len == 0)
		return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	params = palloc(VARHDRSZ + len);
	SET_VARSIZE(params, VARHDRSZ + len);
	memcpy(VARDATA(params), bytes, len);
	return JsonbPGetDatum(params);
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

	return dc_stamp_all_seen(purge_stamp(lookup->dashboard->name), &lookup->snapshot);
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
 * Ask for an entry to be computed anew, once.  Its partition is locked.
 * Returns whether dc_refresh_wakeup() is to be called.
 */
static bool
ask_for_refresh(DcSharedEntry *entry)
{
	DcRefreshRequest request;

	if (pg_atomic_read_u32(&entry->refresh_asked) != 0 ||
		pg_atomic_exchange_u32(&entry->refresh_asked, 1) != 0)
		return false;
	request.database = entry->database;
	request.widget = entry->widget;
	request.version = entry->version;
	request.hash = entry->hash;
	if (dc_refresh_queue_push(&request))
		return true;
	/* no room: let somebody else try later */
	pg_atomic_write_u32(&entry->refresh_asked, 0);
	return false;
}

static void
wake_refreshers(const Lookup *lookup)
{
	ereport(DEBUG1,
			(errmsg_internal("dashcache refresh asked for: widget \"%s\" of dashboard \"%s\"",
							 lookup->widget->name, lookup->dashboard->name)));
	if (dc_refresh_wakeup != NULL)
		dc_refresh_wakeup(MyDatabaseId);
}

/* Is an entry from the future of a transaction that asks for the time? */
static bool
too_new_for_clock(const DcWidget *widget, const DcSharedEntry *entry)
{
	return widget->uses_clock &&
		GetCurrentTransactionStartTimestamp() < entry->valid_from;
}

/*
 * May an entry be served, although it is not known to be what the query would
 * give?  It must have been right within max_stale, be of a state that the
 * caller's snapshot is not older than, of the definition that this snapshot
 * sees, and must contain what this session has written.
 */
static bool
usable_stale(const Lookup *lookup, DcSharedEntry *entry, DcVerdict verdict,
			 TimestampTz now)
{
	const DcWidget *widget = lookup->widget;
	const DcProof *proof = DC_ENTRY_PROOF(entry);

	if (widget->max_stale_us == 0 ||
		entry->fresh_at < now - widget->max_stale_us ||
		verdict == DC_OLD_SNAPSHOT ||
		(verdict == DC_UNCERTAIN &&
		 lookup->snapshot.xmax <= proof->snapshot_xmax))
		return false;
	return dc_proof_holds_on(proof, dc_definition_stamp(widget->id),
							 &lookup->snapshot) &&
		dc_own_seen(proof);
}

static void
serve(Lookup *lookup, DcSharedEntry *entry, TimestampTz now,
	  DcAnswerSource source, const char *reason)
{
	DcAnswer   *answer = lookup->answer;

	answer->source = source;
	answer->reason = reason;
	answer->generated_at = entry->generated_at;
	answer->expires_at = entry->expires_at;
	answer->compute_ms = entry->compute_us / 1000.0;
	answer->etag = entry->etag;
	dc_store_used(entry, now);
	if (source == DC_FROM_CACHE)
		dc_stats_hit(lookup->widget->stats, entry->compute_us);
	else
	{
		dc_stats_add(lookup->widget->stats, DC_COUNT_STALE_HITS, 1);
		dc_stats_add(lookup->widget->stats, DC_COUNT_SAVED_US, entry->compute_us);
	}
	appendBinaryStringInfo(lookup->out, DC_ENTRY_PAYLOAD(entry),
						   entry->payload_len);
}

/*
 * Try to answer from the cache.  If that cannot be, says why in lookup->reason.
 */
static bool
try_cache(Lookup *lookup)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcWidget   *widget = lookup->widget;
	DcVerdict	verdict = DC_VALID;
	DcCulprit	culprit;
	const char *reason = NULL;
	bool		served;
	bool		first = false;
	bool		asked = false;

	lookup->alone = false;
	if (entry == NULL)
	{
		lookup->reason = "cold";
		return false;
	}

	/* what has expired need not be judged, but to be served nevertheless */
	if (now < entry->expires_at || widget->max_stale_us > 0)
		verdict = too_new_for_clock(widget, entry) ? DC_OLD_SNAPSHOT :
			dc_proof_check(DC_ENTRY_PROOF(entry), &lookup->snapshot, &culprit);
	if (now >= entry->expires_at)
		reason = "expired";
	else
	{
		switch (verdict)
		{
			case DC_VALID:
				break;
			case DC_CHANGED:
				reason = "changed";
				first = pg_atomic_exchange_u32(&entry->outdated, 1) == 0;
				break;
			case DC_OLD_SNAPSHOT:
				reason = "old snapshot";
				lookup->alone = true;
				break;
			case DC_UNCERTAIN:
				reason = "uncertain";
				lookup->alone = true;
				break;
		}
	}

	served = reason == NULL || usable_stale(lookup, entry, verdict, now);
	if (served)
	{
		serve(lookup, entry, now,
			  reason == NULL ? DC_FROM_CACHE : DC_FROM_STALE, reason);
		if (reason != NULL || now >= entry->refresh_at)
			asked = ask_for_refresh(entry);
	}
	dc_store_unlock(&lookup->key);

	if (first)
		count_changed(widget, lookup->tenant, &culprit);
	if (asked)
		wake_refreshers(lookup);
	lookup->reason = reason;
	return served;
}

/*
 * Is there an answer that max_stale allows in place of an error?  With "really",
 * serve it.
 */
static bool
try_last_answer(Lookup *lookup, bool really)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcVerdict	verdict;
	DcCulprit	culprit;
	bool		usable;

	if (entry == NULL)
		return false;
	verdict = too_new_for_clock(lookup->widget, entry) ? DC_OLD_SNAPSHOT :
		dc_proof_check(DC_ENTRY_PROOF(entry), &lookup->snapshot, &culprit);
	usable = usable_stale(lookup, entry, verdict, now);
	if (usable && really)
		serve(lookup, entry, now, DC_FROM_STALE,
			  now >= entry->expires_at ? "expired" :
			  verdict == DC_CHANGED ? "changed" :
			  verdict == DC_UNCERTAIN ? "uncertain" : lookup->reason);
	dc_store_unlock(&lookup->key);
	return usable;
}

/*
 * A time at which, or since which, the answer was right for a new snapshot.
 *
 * If nobody has announced himself whom the answer has not seen, it is right
 * now.  Else it is as old as the snapshot.  In READ COMMITTED that is not older
 * than the transaction; else it may have been imported.
 */
static TimestampTz
fresh_at(const DcProof *proof, const DcComputed *computed)
{
	if (dc_proof_is_latest(proof))
		return computed->generated_at;
	if (IsolationUsesXactSnapshot())
		return DT_NOBEGIN;
	return Min(computed->generated_at, GetCurrentTransactionStartTimestamp());
}

/* When the answer should be computed anew, before it ends. */
static TimestampTz
refresh_at(const DcComputed *computed)
{
	if (dc_refresh_ahead == 0 || computed->expires_at == DT_NOEND)
		return DT_NOEND;
	return computed->generated_at +
		(TimestampTz) ((computed->expires_at - computed->generated_at) * dc_refresh_ahead);
}

/*
 * Store a computed answer.  Returns the reason why it could not be stored, or
 * NULL.
 */
static const char *
try_store(Lookup *lookup, const char *payload, Size payload_len,
		  const DcComputed *computed)
{
	DcWidget   *widget = lookup->widget;
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
	content.etag = lookup->answer->etag;
	content.generated_at = computed->generated_at;
	content.fresh_at = fresh_at(proof, computed);
	content.valid_from = computed->valid_from;
	content.expires_at = computed->expires_at;
	content.refresh_at = refresh_at(computed);
	content.compute_us = (uint32) Min(computed->duration_us, PG_UINT32_MAX);

	switch (dc_store_put(&lookup->key, &content, no_purge_since, lookup))
	{
		case DC_PUT_STORED:
			dc_stats_add(widget->stats, DC_COUNT_FILLS, 1);
			ereport(DEBUG1,
					(errmsg_internal("dashcache fill: widget \"%s\" of dashboard \"%s\", %zu bytes",
									 widget->name, lookup->dashboard->name,
									 payload_len)));
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

/* Compute the answer; the cache is not concerned. */
static void
compute(Lookup *lookup, DcComputed *computed)
{
	StringInfo	out = lookup->out;
	DcAnswer   *answer = lookup->answer;
	int			start = out->len;

	dc_compute(lookup->dashboard, lookup->widget, lookup->tenant,
			   lookup->params, out, computed);
	answer->source = DC_FROM_DATABASE;
	answer->generated_at = computed->generated_at;
	answer->expires_at = computed->expires_at;
	answer->compute_ms = computed->duration_us / 1000.0;
	answer->etag = hash_bytes_extended((const unsigned char *) out->data + start,
									   out->len - start, 0);
}

/* Errors that are not about the widget, and that must get through. */
static bool
must_be_thrown(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
		error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		error->sqlerrcode == ERRCODE_ASSERT_FAILURE;
}

/*
 * Compute the answer; if that fails, serve the last one.  False in that case.
 * The subtransaction undoes what the failed computation holds.
 */
static bool
compute_or_last_answer(Lookup *lookup, DcComputed *computed)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			start = lookup->out->len;
	volatile bool computed_it = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		compute(lookup, computed);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;

		lookup->out->len = start;
		/* it may have become too old, or have been evicted */
		if (must_be_thrown(error) || !try_last_answer(lookup, true))
			ReThrowError(error);
		ereport(LOG,
				(errmsg("dashcache serves the last answer of widget \"%s\" of dashboard \"%s\", since computing it failed",
						lookup->widget->name, lookup->dashboard->name),
				 errdetail_internal("%s", error->message)));
		FreeErrorData(error);
		computed_it = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return computed_it;
}

/*
 * Compute the answer and store it, or serve the last one after an error; false
 * if it cannot be stored.
 */
static bool
compute_and_store(Lookup *lookup)
{
	StringInfo	out = lookup->out;
	int			start = out->len;
	DcComputed	computed;
	const char *refused;

	if (lookup->keep_last && !IsInParallelMode() && try_last_answer(lookup, false))
	{
		if (!compute_or_last_answer(lookup, &computed))
			return true;
	}
	else
		compute(lookup, &computed);
	dc_stats_add(lookup->widget->stats, DC_COUNT_MISSES, 1);
	refused = try_store(lookup, out->data + start, out->len - start, &computed);
	if (refused != NULL)
		lookup->reason = refused;
	lookup->answer->reason = lookup->reason;
	return refused == NULL;
}

/* The key of the flight: what has the same may be computed by one for all. */
static uint64
flight_key(const DcKey *key)
{
	uint64		hash = hash_combine64(key->version,
									  ((uint64) key->hash << 32) | key->tenant_hash);

	return Max(dc_mix64(hash), 1);
}

/*
 * Compute, as the one for whom others wait.  False if that would be of no use
 * to them, by what is in the cache now.
 */
static bool
compute_for_all(Lookup *lookup)
{
	volatile bool answered = false;
	volatile bool unstored = false;

	PG_TRY();
	{
		/* somebody may have been faster between our look and our claim */
		if (!lookup->refresh && try_cache(lookup))
			answered = true;
		else if (!lookup->alone)
		{
			unstored = !compute_and_store(lookup);
			answered = true;
		}
	}
	PG_CATCH();
	{
		dc_flight_release(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dc_flight_release(unstored);
	return answered;
}

/*
 * After a miss: compute, or wait for who does and look again, until there is
 * an answer.
 */
static void
compute_or_wait(Lookup *lookup)
{
	TimestampTz deadline = DT_NOBEGIN;
	uint64		key = flight_key(&lookup->key);
	DcFlight	other;

	while (!lookup->alone)
	{
		DcFlightClaim claim = dc_flight_claim(key, &other);
		DcFlightEnd end;

		if (claim == DC_FLIGHT_MINE)
		{
			if (compute_for_all(lookup))
				return;
			break;
		}
		/* who asks for a new answer is not content with another's */
		if (claim == DC_FLIGHT_NONE || lookup->refresh || dc_wait_timeout_ms == 0)
			break;

		if (deadline == DT_NOBEGIN)
			deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   dc_wait_timeout_ms);
		end = dc_flight_wait(&other, deadline);
		if (try_cache(lookup))
			return;
		if (end != DC_FLIGHT_ENDED)
			break;
	}
	compute_and_store(lookup);
}

/* Make the key under which the answer is looked for. */
static void
make_key(Lookup *lookup)
{
	static const char no_params[] = "";
	DcWidget   *widget = lookup->widget;
	DcKey	   *key = &lookup->key;

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
		Jsonb	   *params = DatumGetJsonbP(lookup->params);

		key->params = VARDATA(params);
		key->params_len = VARSIZE(params) - VARHDRSZ;
	}
	key->hash = dc_store_hash(key);
	if (widget->tenant_type.by_equality)
		use_alias(&widget->tenant_type, lookup);
}

/* May the cache be asked for this snapshot?  Else says why not. */
static bool
may_use_cache(Lookup *lookup)
{
	Snapshot	snapshot = GetActiveSnapshot();

	lookup->reason = bypass_reason(lookup->widget, snapshot);
	if (lookup->reason != NULL)
		return false;
	dc_snapshot_init(&lookup->snapshot, snapshot);
	if (!dc_snapshot_sees(&lookup->snapshot, lookup->widget->version))
		lookup->reason = "old snapshot";
	return lookup->reason == NULL;
}

static void
log_answer(const Lookup *lookup, const char *what)
{
	const char *reason = lookup->answer->reason;

	ereport(DEBUG1,
			(errmsg_internal("dashcache %s: widget \"%s\" of dashboard \"%s\"%s%s%s",
							 what, lookup->widget->name, lookup->dashboard->name,
							 reason == NULL ? "" : " (",
							 reason == NULL ? "" : reason,
							 reason == NULL ? "" : ")")));
}

/*
 * Answer for one widget and tenant: append the JSON to "out", and say in
 * "answer" where it came from.  The caller has checked the permission.
 */
void
dc_fetch(const DcDashboard *dashboard, DcWidget *widget,
		 DcRequest *request, StringInfo out, DcAnswer *answer)
{
	Lookup		lookup;
	DcComputed	computed;

	memset(answer, 0, sizeof(*answer));
	lookup.dashboard = dashboard;
	lookup.widget = widget;
	lookup.tenant = dc_fetch_tenant(request, widget);
	lookup.params = request->params;
	lookup.refresh = request->refresh;
	lookup.keep_last = widget->max_stale_us > 0;
	lookup.out = out;
	lookup.answer = answer;

	if (!may_use_cache(&lookup))
	{
		compute(&lookup, &computed);
		if (widget->stats != NULL)
			dc_stats_add(widget->stats, DC_COUNT_BYPASSES, 1);
		answer->reason = lookup.reason;
		log_answer(&lookup, "bypass");
		return;
	}

	make_key(&lookup);
	if (IsolationUsesXactSnapshot())
		lock_sources(widget);

	if (lookup.refresh)
	{
		lookup.reason = "refresh";
		lookup.alone = false;
		compute_or_wait(&lookup);
	}
	else if (!try_cache(&lookup))
		compute_or_wait(&lookup);
	log_answer(&lookup, answer->source == DC_FROM_CACHE ? "hit" :
			   answer->source == DC_FROM_STALE ? "stale hit" : "miss");
}

/* Is there an entry that is right, and not near its end? */
static bool
needs_no_refresh(const Lookup *lookup)
{
	DcSharedEntry *entry = dc_store_find(&lookup->key);
	TimestampTz now = GetCurrentTimestamp();
	DcCulprit	culprit;
	bool		good;

	if (entry == NULL)
		return false;
	good = now < entry->expires_at && now < entry->refresh_at &&
		dc_proof_check(DC_ENTRY_PROOF(entry), &lookup->snapshot, &culprit) == DC_VALID;
	dc_store_unlock(&lookup->key);
	return good;
}

/*
 * Compute anew what a reader has asked for (refresh_queue.c), unless that has
 * been done, or somebody is at it; returns how many answers were computed.
 * Called in a transaction with an active snapshot; errors are the caller's.
 */
int
dc_fetch_refresh(uint32 widget_id, uint64 version, uint32 hash)
{
	DcDashboard *dashboard = dc_metacache_dashboard_of(widget_id);
	DcWidget   *widget = NULL;
	List	   *keys;
	ListCell   *lc;
	int			n = 0;

	for (int i = 0; dashboard != NULL && i < dashboard->nwidgets; i++)
	{
		if (dashboard->widgets[i].id == widget_id &&
			dashboard->widgets[i].version == version)
			widget = &dashboard->widgets[i];
	}
	if (widget == NULL || !dc_preloaded)
		return 0;

	keys = dc_store_keys(widget_id, version, hash);
	foreach(lc, keys)
	{
		Lookup		lookup;
		DcAnswer	answer;
		StringInfoData out;
		DcFlight	other;

		memset(&answer, 0, sizeof(answer));
		initStringInfo(&out);
		lookup.dashboard = dashboard;
		lookup.widget = widget;
		lookup.key = *(DcKey *) lfirst(lc);
		lookup.tenant = dc_tenant_from_bytes(&widget->tenant_type,
											 lookup.key.tenant,
											 lookup.key.tenant_len);
		lookup.params = dc_params_from_bytes(lookup.key.params,
											 lookup.key.params_len);
		lookup.refresh = true;
		lookup.keep_last = false;
		lookup.alone = false;
		lookup.out = &out;
		lookup.answer = &answer;

		if (!may_use_cache(&lookup) ||
			dc_flight_claim(flight_key(&lookup.key), &other) != DC_FLIGHT_MINE)
			continue;
		if (needs_no_refresh(&lookup))
		{
			dc_flight_release(false);
			continue;
		}
		lookup.reason = "refresh";
		(void) compute_for_all(&lookup);
		log_answer(&lookup, "refresh");
		n++;
	}
	return n;
}
