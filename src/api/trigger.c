/*-------------------------------------------------------------------------
 *
 * trigger.c
 *		The triggers on the sources.
 *
 * Two triggers on each source, both ENABLE ALWAYS so that replication fires
 * them too.  The row trigger notes whose rows have changed, and for which
 * watches.  The statement trigger fires before anything is changed: it notes
 * that this transaction has begun to write to the source, so that reads in the
 * same transaction, also those in other triggers, do not use the cache; and it
 * takes note of TRUNCATE.
 *
 * What is noted is announced at the commit, see consistency/writer.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "changes.h"
#include "consistency/writer.h"
#include "preload.h"
#include "widget/watched.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(dashcache_row_changed);
PG_FUNCTION_INFO_V1(dashcache_statement_begins);

/* Kept from one row of a statement to the next. */
typedef struct TriggerState
{
	DcWatched  *watched;
	DcWriterSource *source;
} TriggerState;

static void
check_called_as_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by a trigger"),
				 errhint("dashcache_define() installs the triggers that call it.")));
}

static void
look_up(Relation relation, TriggerState *state)
{
	state->watched = dc_watched_get(relation);
	state->source = dc_writer_source(RelationGetRelid(relation),
									 state->watched->generation,
									 state->watched->nwatches,
									 state->watched->hashes);
}

/* The watches that read a column which the update has changed. */
static uint64
watches_of_update(const DcWatched *watched, TupleDesc desc,
				  TupleTableSlot *before, TupleTableSlot *after)
{
	uint64		watches = watched->any_column;

	for (int i = 0; i < watched->ncolumns; i++)
	{
		const DcReadColumn *column = &watched->columns[i];
		Form_pg_attribute attribute;
		Datum		old_value;
		Datum		new_value;
		bool		old_null;
		bool		new_null;

		if ((column->watches & ~watches) == 0)
			continue;
		attribute = TupleDescAttr(desc, column->column - 1);
		old_value = slot_getattr(before, column->column, &old_null);
		new_value = slot_getattr(after, column->column, &new_null);
		if (old_null != new_null ||
			(!old_null && !datumIsEqual(old_value, new_value,
										attribute->attbyval,
										attribute->attlen)))
			watches |= column->watches;
	}
	return watches;
}

static void
touch_tenant_of(TriggerState *state, DcTenantKey *key, Relation relation,
				TupleTableSlot *slot, uint64 watches, uint8 operation)
{
	Datum		tenant;
	bool		isnull;
	DcTouch    *touch;

	if (key->expression == NULL)
		tenant = slot_getattr(slot, key->column, &isnull);
	else
	{
		bool		should_free;
		HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, &should_free);

		isnull = !dc_watched_evaluate(key, relation, row, &tenant);
	}

	/* nothing equals null, so nobody reads such a row */
	if (isnull)
		return;

	touch = dc_writer_touch(state->source,
							DatumGetUInt32(FunctionCall1Coll(&key->hash,
															 key->collation,
															 tenant)),
							watches, operation);
	if (touch != NULL && dc_writer_wants_tenant())
	{
		char	   *text = OutputFunctionCall(&key->output, tenant);

		if (strlen(text) >= DC_CHANGE_TENANT_LEN)
			text[		pg_mbcliplen(text, strlen(text), DC_CHANGE_TENANT_LEN - 1)] = '\0';

		touch->tenant = dc_writer_keep_text(text);
	}
}

/*
 * AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW
 */
Datum
dashcache_row_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerState *state;
	TupleTableSlot *before;
	TupleTableSlot *after;
	uint64		watches;
	uint8		operation;

	check_called_as_trigger(fcinfo);
	if (!dc_preloaded)
		return PointerGetDatum(NULL);

	state = fcinfo->flinfo->fn_extra;
	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(TriggerState));
		look_up(trigger->tg_relation, state);
		fcinfo->flinfo->fn_extra = state;
	}

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		operation = DC_CHANGE_INSERT;
		watches = state->watched->all;
		before = NULL;
		after = trigger->tg_trigslot;
	}
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		operation = DC_CHANGE_DELETE;
		watches = state->watched->all;
		before = trigger->tg_trigslot;
		after = NULL;
	}
	else
	{
		operation = DC_CHANGE_UPDATE;
		before = trigger->tg_trigslot;
		after = trigger->tg_newslot;
		watches = watches_of_update(state->watched,
									RelationGetDescr(trigger->tg_relation),
									before, after);
	}

	if (watches & state->watched->any_change)
		dc_writer_touch_all(state->source, watches & state->watched->any_change,
							operation, false);
	for (int i = 0; i < state->watched->nkeys; i++)
	{
		DcTenantKey *key = &state->watched->keys[i];

		if ((watches & key->watches) == 0)
			continue;
		if (before != NULL)
			touch_tenant_of(state, key, trigger->tg_relation, before,
							watches & key->watches, operation);
		if (after != NULL)
			touch_tenant_of(state, key, trigger->tg_relation, after,
							watches & key->watches, operation);
	}
	return PointerGetDatum(NULL);
}

/*
 * BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE FOR EACH STATEMENT
 */
Datum
dashcache_statement_begins(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerState state;

	check_called_as_trigger(fcinfo);
	if (!dc_preloaded)
		return PointerGetDatum(NULL);

	look_up(trigger->tg_relation, &state);
	state.source->wrote = true;
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		dc_writer_touch_all(state.source, state.watched->all,
							DC_CHANGE_TRUNCATE, true);
	return PointerGetDatum(NULL);
}
