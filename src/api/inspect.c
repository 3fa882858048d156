/*-------------------------------------------------------------------------
 *
 * inspect.c
 *		What the views show.
 *
 * Set-returning functions under the views of the install script.  They show
 * the current database only, and never an answer's content.
 *
 * Locking: entries are copied out of one locked partition at a time, so a view
 * of all entries is not of one moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "changes.h"
#include "compat.h"
#include "consistency/stamp.h"
#include "consistency/validity.h"
#include "guc.h"
#include "persist/restore.h"
#include "persist/saved_file.h"
#include "preload.h"
#include "read/tenant.h"
#include "stats.h"
#include "store/estimate.h"
#include "store/pieces.h"
#include "store/store.h"
#include "widget/catalog.h"
#include "widget/metacache.h"
#include "widget/verified.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(dashcache_entry_list);
PG_FUNCTION_INFO_V1(dashcache_widget_counters);
PG_FUNCTION_INFO_V1(dashcache_status_row);
PG_FUNCTION_INFO_V1(dashcache_change_list);
PG_FUNCTION_INFO_V1(dashcache_reset_stats);
PG_FUNCTION_INFO_V1(dashcache_check_saved);

/*-------------------------------------------------------------------------
 * Entries
 *-------------------------------------------------------------------------
 */

/* The type of a widget's tenant, looked up once a call. */
typedef struct WidgetType
{
	uint32		widget;			/* hash key */
	uint64		version;		/* 0: there is no such widget */
	DcTenantType type;
} WidgetType;

/* A copy of an entry. */
typedef struct Collected
{
	DcSharedEntry *entry;		/* without its payload; "definition" must not
								 * be followed */
	uint32		widget;
	uint64		version;
	DcVerdict	state;
	Size		size;			/* in the store */
} Collected;

typedef struct Collector
{
	List	   *entries;		/* of Collected */
	DcSnapshot	snapshot;
} Collector;

static void
collect_entry(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	Collector  *collector = arg;
	DcCulprit	culprit;
	Collected  *copy;

	if (definition->database != MyDatabaseId)
		return;
	copy = palloc(sizeof(Collected));
	copy->entry = palloc(DC_ENTRY_HEAD(entry));
	memcpy(copy->entry, entry, DC_ENTRY_HEAD(entry));
	copy->widget = definition->widget;
	copy->version = definition->version;
	copy->state = dc_proof_check(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry), &collector->snapshot, &culprit);
	copy->size = dc_entry_size(entry);
	collector->entries = lappend(collector->entries, copy);
}

static void
read_type(HeapTuple tuple, TupleDesc desc, void *arg)
{
	WidgetType *type = arg;
	bool		isnull;
	Oid			oid = DatumGetObjectId(heap_getattr(tuple, DC_WIDGET_TENANT_TYPE,
													desc, &isnull));
	Oid			output;
	bool		varlena;

	type->version = DatumGetUInt64(heap_getattr(tuple, DC_WIDGET_VERSION,
												desc, &isnull));
	if (!dc_verified(type->widget, type->version) ||
		!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(oid)))
	{
		type->version = 0;
		return;
	}
	get_typlenbyval(oid, &type->type.len, &type->type.byval);
	getTypeOutputInfo(oid, &output, &varlena);
	fmgr_info(output, &type->type.output);
}

/*
 * dashcache.entries() -> (widget, tenant, params, state, generated_at,
 * expires_at, last_used_at, hits, bytes, stored_bytes, compute_ms)
 */
Datum
dashcache_entry_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	Collector	collector = {0};
	HTAB	   *types;
	HASHCTL		ctl = {.keysize = sizeof(uint32),.entrysize = sizeof(WidgetType)};
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (!dc_preloaded || RecoveryInProgress())
		return (Datum) 0;

	dc_snapshot_init(&collector.snapshot, GetActiveSnapshot());
	dc_store_scan(collect_entry, &collector);

	ctl.hcxt = CurrentMemoryContext;
	types = hash_create("dashcache widget types", 64, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	foreach(lc, collector.entries)
	{
		Collected  *collected = lfirst(lc);
		DcSharedEntry *entry = collected->entry;
		WidgetType *type;
		bool		found;
		Datum		values[11];
		bool		nulls[11] = {0};
		const char *state;

		type = hash_search(types, &collected->widget, HASH_ENTER, &found);
		if (!found)
		{
			type->version = 0;
			dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
							Int32GetDatum(collected->widget), read_type, type);
		}
		/* of a definition that is no more, or not yet */
		if (type->version != collected->version)
			continue;

		state = now >= entry->expires_at ? "expired" :
			collected->state == DC_CHANGED ? "changed" : "current";
		values[0] = Int32GetDatum(collected->widget);
		values[1] = CStringGetTextDatum(OutputFunctionCall(&type->type.output,
														   dc_tenant_from_bytes(&type->type,
																				DC_ENTRY_TENANT(entry),
																				entry->tenant_len)));
		values[2] = dc_params_from_bytes(DC_ENTRY_PARAMS(entry), entry->params_len);
		values[3] = CStringGetTextDatum(state);
		values[4] = TimestampTzGetDatum(entry->generated_at);
		values[5] = TimestampTzGetDatum(entry->expires_at);
		nulls[5] = TIMESTAMP_NOT_FINITE(entry->expires_at);
		values[6] = TimestampTzGetDatum(dc_entry_last_used(entry));
		nulls[6] = dc_entry_last_used(entry) == 0;
		values[7] = Int64GetDatum(dc_entry_hits(entry));
		values[8] = Int64GetDatum(entry->answer_len);
		values[9] = Int64GetDatum(collected->size);
		values[10] = Float8GetDatum(entry->compute_us / 1000.0);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	hash_destroy(types);
	return (Datum) 0;
}

/*-------------------------------------------------------------------------
 * Counters
 *-------------------------------------------------------------------------
 */

/*
 * dashcache.counters(widget) -> the counters, in the order of DcCounter; nulls if it
 * has none of its own
 */
Datum
dashcache_widget_counters(PG_FUNCTION_ARGS)
{
	Datum		values[DC_COUNTERS];
	bool		nulls[DC_COUNTERS] = {0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	memset(values, 0, sizeof(values));
	if (dc_preloaded)
	{
		DcSharedStats *stats = dc_stats_get(MyDatabaseId, PG_GETARG_INT32(0));

		for (int i = 0; i < DC_COUNTERS; i++)
		{
			values[i] = Int64GetDatum(dc_stats_read(stats, i));
			nulls[i] = stats == dc_stats_common();
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*
 * dashcache_reset_stats(): set the counters of this database to zero, and those of
 * the estimate, which is of all databases.
 */
Datum
dashcache_reset_stats(PG_FUNCTION_ARGS)
{
	if (dc_preloaded)
	{
		dc_stats_reset(MyDatabaseId);
		dc_estimate_reset();
	}
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 * Status
 *-------------------------------------------------------------------------
 */

/*
 * dashcache.status() -> (preloaded, enabled, in_recovery, memory_total,
 * memory_used, entries, stats_since, waits_for_prepared, restored, memory_free)
 */
Datum
dashcache_status_row(PG_FUNCTION_ARGS)
{
	Datum		values[10] = {0};
	bool		nulls[10] = {0};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[0] = BoolGetDatum(dc_preloaded);
	values[1] = BoolGetDatum(dc_enabled);
	values[2] = BoolGetDatum(RecoveryInProgress());
	if (dc_preloaded)
	{
		Size		total = mul_size(dc_memory_kb, 1024);
		DcPiecesUsage usage;
		uint64		restored;

		dc_pieces_usage(&usage);
		values[3] = Int64GetDatum(total);
		values[4] = Int64GetDatum(total - usage.free);
		values[9] = Int64GetDatum(usage.free);
		values[5] = Int64GetDatum(dc_store_entries());
		values[6] = TimestampTzGetDatum(dc_stats_since());
		nulls[8] = !dc_restore_result(&restored);
		values[8] = Int64GetDatum(restored);
		if (!RecoveryInProgress())
		{
			DcSnapshot	snapshot;

			dc_snapshot_init(&snapshot, GetActiveSnapshot());
			values[7] = BoolGetDatum(!dc_xid_settled(snapshot.xmin));
		}
	}
	else
		nulls[3] = nulls[4] = nulls[5] = nulls[6] = nulls[8] = nulls[9] = true;

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*
 * dashcache.check_saved(bytea): what is wrong with the bytes of a file of saved
 * entries; NULL: nothing.
 */
Datum
dashcache_check_saved(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	DcSavedHeader header;
	DcSavedFile file;
	const char *problem;
	FILE	   *from;

	/* a stream of no bytes cannot be opened everywhere */
	if (VARSIZE_ANY_EXHDR(bytes) == 0)
		PG_RETURN_TEXT_P(cstring_to_text("It is empty."));
	from = fmemopen(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), "r");
	if (from == NULL)
		elog(ERROR, "could not open a stream: %m");
	problem = dc_saved_begin_reading(&file, from, &header);
	if (problem == NULL)
		problem = dc_saved_check_stats(&file, &header);
	if (problem == NULL)
		problem = dc_saved_check_entries(&file, &header);
	fclose(from);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/*-------------------------------------------------------------------------
 * Changes
 *-------------------------------------------------------------------------
 */

static char *
operation_names(uint8 operations)
{
	static const struct
	{
		uint8		bit;
		const char *name;
	}			names[] = {
		{DC_CHANGE_INSERT, "INSERT"},
		{DC_CHANGE_UPDATE, "UPDATE"},
		{DC_CHANGE_DELETE, "DELETE"},
		{DC_CHANGE_TRUNCATE, "TRUNCATE"},
		{DC_CHANGE_DDL, "DDL"}
	};
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < lengthof(names); i++)
	{
		if (operations & names[i].bit)
			appendStringInfo(&out, "%s%s", out.len > 0 ? ", " : "", names[i].name);
	}
	return out.data;
}

/*
 * Has a transaction of the journal committed?  Of one so old that the server
 * has forgotten how it ended, which is no less than millions of transactions
 * ago, that is assumed.
 */
static bool
has_committed(uint64 xid)
{
	bool		committed = true;

	if (dc_xid_running(xid))
		return false;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (xid + PG_INT32_MAX > dc_xid_next() &&
		!TransactionIdPrecedes((TransactionId) xid,
							   DcTransamVariables->oldestClogXid))
		committed = TransactionIdDidCommit((TransactionId) xid);
	LWLockRelease(XactTruncationLock);
	return committed;
}

/*
 * dashcache.changes() -> (at, source, tenant, operation, xid, entries_hit)
 *
 * The journal has a record of each transaction that was about to commit; only
 * those that have are shown.
 */
Datum
dashcache_change_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (!dc_preloaded || RecoveryInProgress())
		return (Datum) 0;

	for (uint32 slot = 0; slot < dc_changes_capacity(); slot++)
	{
		DcChange	change;
		uint64		entries_hit;
		Datum		values[6];
		bool		nulls[6] = {0};

		if (!dc_changes_read(slot, &change, &entries_hit) ||
			change.database != MyDatabaseId ||
			!has_committed(change.xid))
			continue;
		values[0] = TimestampTzGetDatum(change.at);
		values[1] = ObjectIdGetDatum(change.source);
		nulls[2] = change.every_tenant;
		values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(change.tenant);
		values[3] = CStringGetTextDatum(operation_names(change.operations));
		values[4] = FullTransactionIdGetDatum(FullTransactionIdFromU64(change.xid));
		values[5] = Int64GetDatum(entries_hit);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
