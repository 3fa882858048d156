/*-------------------------------------------------------------------------
 *
 * memory.c
 *		How the memory is used, and whether it is enough.
 *
 * The functions under dashcache_memory and dashcache_memory_estimate.  Entries of
 * all databases share the memory, so both tell of all of them.
 *
 * Locking: entries are looked at one locked partition at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "guc.h"
#include "preload.h"
#include "store/estimate.h"
#include "store/pieces.h"
#include "store/store.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_memory_row);
PG_FUNCTION_INFO_V1(dashcache_memory_estimates);

typedef struct Contents
{
	int64		entries;
	int64		bytes;			/* of keys and answers */
	int64		used;			/* of the entries, with all that is noted, and
								 * what they have in common */
	int64		taken;			/* by these, in all */
} Contents;

static void
add_entry(const DcSharedEntry *entry, void *arg)
{
	Contents   *contents = arg;

	contents->entries++;
	contents->bytes += (int64) entry->tenant_len + entry->params_len + entry->payload_len;
	contents->used += DC_ENTRY_HEAD(entry) + entry->payload_len;
	contents->taken += dc_entry_size(entry);
}

static Interval *
interval_of(int64 us)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	return interval;
}

/*
 * dashcache.memory() -> (total, reserved, free, free_pieces, entries,
 * content, used, taken, the events of the store in their order, last_evicted_at,
 * last_evicted_idle)
 */
Datum
dashcache_memory_row(PG_FUNCTION_ARGS)
{
	Datum		values[8 + DC_STORE_EVENTS + 2] = {0};
	bool		nulls[lengthof(values)] = {0};
	TupleDesc	desc;
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (dc_preloaded)
	{
		Size		total = mul_size(dc_memory_kb, 1024);
		Contents	contents = {0};
		DcPiecesUsage usage;
		Size		used;
		Size		taken;
		TimestampTz at;
		int64		idle_us;

		dc_store_scan(add_entry, &contents);
		dc_definitions_size(&used, &taken);
		contents.used += used;
		contents.taken += taken;
		dc_pieces_usage(&usage);
		values[n++] = Int64GetDatum(total);
		values[n++] = Int64GetDatum(total - usage.total);
		values[n++] = Int64GetDatum(usage.free);
		values[n++] = Int64GetDatum(usage.nfree);
		values[n++] = Int64GetDatum(contents.entries);
		values[n++] = Int64GetDatum(contents.bytes);
		values[n++] = Int64GetDatum(contents.used);
		values[n++] = Int64GetDatum(contents.taken);
		for (int event = 0; event < DC_STORE_EVENTS; event++)
			values[n++] = Int64GetDatum(dc_store_events(event));
		if (dc_store_last_evicted(&at, &idle_us))
		{
			values[n++] = TimestampTzGetDatum(at);
			values[n++] = IntervalPGetDatum(interval_of(idle_us));
		}
		else
			nulls[n] = nulls[n + 1] = true;
	}
	else
		memset(nulls, true, sizeof(nulls));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*
 * dashcache.memory_estimates() -> (memory, hit_ratio, accesses, actual)
 *
 * A row for each size; that of dashcache.memory has the hit ratio that there is.
 */
Datum
dashcache_memory_estimates(PG_FUNCTION_ARGS)
{
	static const int quarters[] = DC_MINIATURE_QUARTERS;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DcEstimate	estimate;

	InitMaterializedSRF(fcinfo, 0);
	if (!dc_preloaded)
		return (Datum) 0;

	dc_estimate_read(&estimate);
	for (int i = 0; i < DC_MINIATURES; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {0};

		values[0] = Int64GetDatum((int64) dc_memory_kb * 1024 / 4 * quarters[i]);
		values[1] = Float8GetDatum(estimate.hit_ratio[i]);
		nulls[1] = estimate.hit_ratio[i] < 0;
		values[2] = Int64GetDatum((int64) estimate.accesses);
		values[3] = BoolGetDatum(i == DC_MINIATURE_ACTUAL);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
