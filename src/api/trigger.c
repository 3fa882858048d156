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
 * A row may also lie on the path by which the rows of other tables find their
 * tenant.  If it begins to lead to a tenant, because it is new or because it
 * leads somewhere else than before, rows of others have moved to that tenant;
 * see "Moves" in consistency/stamp.c.  Where a foreign key guarantees that no
 * other row can refer to a row that is not there yet, new rows move nothing.
 * Where the path matches many rows none is excused, and those that go are told
 * of, too: "Links" in README.
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
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(dashcache_row_changed);
PG_FUNCTION_INFO_V1(dashcache_statement_begins);

/* The tenants of a row by a key: their hashes, and where they are new, they. */
typedef struct Tenants
{
	DcPathEnd	end;
	int			n;
	uint32		hashes[DC_PATH_MAX_TENANTS];
	bool		looked_up;
	DcPathValues values;
} Tenants;

/* The tenants that a column, or the path from it, led to for the row before. */
typedef struct Remembered
{
	bool		valid;
	Datum		value;
	DcPathEnd	end;
	int			n;
	uint32		hashes[DC_PATH_MAX_TENANTS];
} Remembered;

/* Kept from one row of a statement to the next. */
typedef struct TriggerState
{
	DcWatched  *watched;
	DcWriterSource *source;
	bool		simple;			/* the tenant is in a column, which is all
								 * that matters of a row that comes or goes */
	bool		looked_up;		/* own changes have been made visible */
	ExprContext *econtext;		/* for filters and expressions */
	ExprState **filters;
	ExprState **expressions;	/* by key */
	Remembered *remembered;		/* by key */
} TriggerState;

static void
refuse(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function was not called by a trigger of dashcache"),
			 errhint("dashcache_define() installs the triggers that call it.")));
}

static void
look_up(Relation relation, TriggerState *state)
{
	ListCell   *lc;

	state->watched = dc_watched_get(relation);
	state->source = dc_writer_source(RelationGetRelid(relation),
									 state->watched->generation,
									 state->watched->nwatches,
									 state->watched->hashes,
									 state->watched->moving,
									 state->watched->move_rounds);
	dc_writer_writes(RelationGetRelid(relation));
	foreach(lc, state->watched->ancestors)
		dc_writer_writes(lfirst_oid(lc));
}

static void
prepare_expressions(TriggerState *state)
{
	const DcWatched *watched = state->watched;
	bool		any = watched->nfilters > 0;

	state->filters = palloc(sizeof(ExprState *) * Max(watched->nfilters, 1));
	for (int i = 0; i < watched->nfilters; i++)
		state->filters[i] =
			ExecInitQual((List *) expression_planner((Expr *) watched->filters[i].conditions),
						 NULL);
	state->expressions = palloc0(sizeof(ExprState *) * Max(watched->nkeys, 1));
	for (int i = 0; i < watched->nkeys; i++)
	{
		if (watched->keys[i].kind != DC_KEY_EXPRESSION)
			continue;
		state->expressions[i] =
			ExecInitExpr(expression_planner((Expr *) watched->keys[i].expression),
						 NULL);
		any = true;
	}
	if (any)
		state->econtext = CreateStandaloneExprContext();
}

static bool
is_simple(const DcWatched *watched)
{
	const DcTenantKey *key = watched->keys;

	return watched->nkeys == 1 && key->kind == DC_KEY_COLUMN &&
		key->path.nhops == 0 && !key->moves &&
		watched->nfilters == 0 && watched->nreferred == 0 &&
		(watched->own & watched->any_change) == 0;
}

/* The state of a statement; the trigger's FmgrInfo lives as long as that. */
static TriggerState *
make_state(FunctionCallInfo fcinfo, Relation relation)
{
	TriggerState *state;
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

	state = palloc0(sizeof(TriggerState));
	look_up(relation, state);
	state->remembered = palloc0(sizeof(Remembered) *
								Max(state->watched->nkeys, 1));
	prepare_expressions(state);
	state->simple = is_simple(state->watched);
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = state;
	return state;
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

/* Of these watches, those to which the row makes a difference. */
static uint64
watches_of_row(TriggerState *state, TupleTableSlot *slot, uint64 watches)
{
	const DcWatched *watched = state->watched;

	for (int i = 0; i < watched->nfilters; i++)
	{
		if ((watched->filters[i].watches & watches) == 0)
			continue;
		state->econtext->ecxt_scantuple = slot;
		if (!ExecQual(state->filters[i], state->econtext))
			watches &= ~watched->filters[i].watches;
	}
	return watches;
}

/* The tenants of a row by a key; more than one only where many rows lead on. */
static void
tenants_of(TriggerState *state, int key_number, Relation relation,
		   TupleTableSlot *slot, Tenants *tenants)
{
	DcTenantKey *key = &state->watched->keys[key_number];
	Remembered *remembered = &state->remembered[key_number];
	Datum		value = (Datum) 0;
	bool		isnull;
	bool		byval = false;

	tenants->n = 0;
	tenants->looked_up = true;
	switch (key->kind)
	{
		case DC_KEY_COLUMN:
			value = slot_getattr(slot, key->column, &isnull);
			byval = TupleDescAttr(RelationGetDescr(relation),
								  key->column - 1)->attbyval;
			break;
		case DC_KEY_EXPRESSION:
			state->econtext->ecxt_scantuple = slot;
			value = ExecEvalExprSwitchContext(state->expressions[key_number],
											  state->econtext, &isnull);
			break;
		default:
			{
				bool		should_free;
				HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, &should_free);

				isnull = !dc_watched_evaluate_sql(key, relation, row, &value);
				break;
			}
	}

	/* nothing equals null, so nobody reads such a row */
	if (isnull)
	{
		tenants->end = DC_PATH_NOWHERE;
		return;
	}

	if (key->path.nhops > 0)
	{
		if (remembered->valid && byval && remembered->value == value)
		{
			tenants->looked_up = false;
			tenants->end = remembered->end;
			tenants->n = remembered->n;
			memcpy(tenants->hashes, remembered->hashes,
				   sizeof(uint32) * remembered->n);
			return;
		}

		/* what this statement has changed has to be seen, too */
		if (!state->looked_up)
		{
			CommandCounterIncrement();
			state->looked_up = true;
		}
	}
	tenants->end = dc_path_follow(&key->path, value, key->type, &tenants->values);
	if (tenants->end == DC_PATH_FOUND)
	{
		tenants->n = tenants->values.n;
		for (int i = 0; i < tenants->n; i++)
			tenants->hashes[i] =
				DatumGetUInt32(FunctionCall1Coll(&key->hash, key->collation,
												 tenants->values.values[i]));
	}
	if (byval)
	{
		remembered->valid = key->path.nhops > 0;
		remembered->value = value;
		remembered->end = tenants->end;
		remembered->n = tenants->n;
		memcpy(remembered->hashes, tenants->hashes, sizeof(uint32) * tenants->n);
	}
}

/* Tell the journal whose rows a new touch is about. */
static void
tell_tenant(DcTouch *touch, DcTenantKey *key, Datum tenant)
{
	char	   *text;

	if (!dc_writer_wants_tenant())
		return;
	text = OutputFunctionCall(&key->output, tenant);

	if (strlen(text) >= DC_CHANGE_TENANT_LEN)
		text[		pg_mbcliplen(text, strlen(text), DC_CHANGE_TENANT_LEN - 1)] = '\0';

	touch->tenant = dc_writer_keep_text(text);
}

/* A column of a row, without those before it where that can be. */
static inline Datum
column_of(TupleTableSlot *slot, AttrNumber column, bool *isnull)
{
	if (column > slot->tts_nvalid && TTS_IS_BUFFERTUPLE(slot))
	{
		HeapTuple	row = ((BufferHeapTupleTableSlot *) slot)->base.tuple;

		if (row != NULL)
			return heap_getattr(row, column, slot->tts_tupleDescriptor, isnull);
	}
	return slot_getattr(slot, column, isnull);
}

/* The usual case of what follows: the tenant is in a column of the row. */
static inline void
touch_column(TriggerState *state, int key_number, TupleTableSlot *slot,
			 uint64 watches, uint8 operation)
{
	DcTenantKey *key = &state->watched->keys[key_number];
	Remembered *remembered = &state->remembered[key_number];
	bool		isnull;
	Datum		tenant = column_of(slot, key->column, &isnull);
	DcTouch    *touch;

	if (isnull)
		return;
	if (!remembered->valid || remembered->value != tenant)
	{
		remembered->hashes[0] =
			DatumGetUInt32(FunctionCall1Coll(&key->hash, key->collation, tenant));
		remembered->value = tenant;
		remembered->valid =
			TupleDescAttr(slot->tts_tupleDescriptor, key->column - 1)->attbyval;
	}
	touch = dc_writer_touch(state->source, remembered->hashes[0], watches, operation);
	if (touch != NULL)
		tell_tenant(touch, key, tenant);
}

/* Note that tenants' rows have changed, for the watches that use the key. */
static void
touch_tenants_of(TriggerState *state, int key_number, Relation relation,
				 TupleTableSlot *slot, uint64 watches, uint8 operation)
{
	DcTenantKey *key = &state->watched->keys[key_number];
	Tenants		tenants;
	DcTouch    *touch;

	if (key->kind == DC_KEY_COLUMN && key->path.nhops == 0 && !key->moves)
	{
		touch_column(state, key_number, slot, watches, operation);
		return;
	}

	/*
	 * Where replication applies changes no foreign key is checked, which the
	 * reasoning about paths relies on; and a look-up in a serializable
	 * transaction might be what makes it fail.
	 */
	if (key->path.nhops > 0 &&
		(IsolationIsSerializable() ||
		 (!key->moves &&
		  SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)))
	{
		dc_writer_touch_all(state->source, watches, operation, false);
		return;
	}

	tenants_of(state, key_number, relation, slot, &tenants);
	if (tenants.end == DC_PATH_UNKNOWN)
		dc_writer_touch_all(state->source, watches, operation, false);
	for (int i = 0; i < tenants.n; i++)
	{
		touch = dc_writer_touch(state->source, tenants.hashes[i], watches, operation);
		if (touch != NULL && !key->moves && tenants.looked_up)
			tell_tenant(touch, key, tenants.values.values[i]);
	}
}

static bool
column_changed(Relation relation, AttrNumber column,
			   TupleTableSlot *before, TupleTableSlot *after)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation),
												column - 1);
	bool		old_null;
	bool		new_null;
	Datum		old_value = slot_getattr(before, column, &old_null);
	Datum		new_value = slot_getattr(after, column, &new_null);

	return old_null != new_null ||
		(!old_null && !datumIsEqual(old_value, new_value, attribute->attbyval,
									attribute->attlen));
}

/*
 * Does this row begin to lead rows of others to a tenant?
 *
 * A new row does not where a foreign key is enforced, since nothing refers to
 * it yet; unless this transaction has removed a row before, whose key, and the
 * rows that refer to it, it may have taken over in the same statement.
 */
static bool
moves_others(TriggerState *state, const DcTenantKey *key, Relation relation,
			 TupleTableSlot *before, TupleTableSlot *after)
{
	if (after == NULL)
	{
		state->source->freed = true;
		return false;
	}
	if (before == NULL)
		return !key->enforced || state->source->freed ||
			SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
	if (column_changed(relation, key->match, before, after))
	{
		state->source->freed = true;
		return true;
	}
	return column_changed(relation, key->column, before, after);
}

/*
 * Does this row cease to lead rows of others to a tenant?  Whoever reads it
 * knows that from its own watch, too; but on a path by which many rows lead on,
 * all that such rows do is told to the watches that they lead for.
 */
static bool
leaves_others(const DcTenantKey *key, Relation relation,
			  TupleTableSlot *before, TupleTableSlot *after)
{
	if (!key->leaves || before == NULL)
		return false;
	return after == NULL ||
		column_changed(relation, key->match, before, after) ||
		column_changed(relation, key->column, before, after);
}

/*
 * The watches to which a new row makes a difference: not those for which a row
 * has to be referred to, if no row refers to this one.  Where replication
 * writes, foreign keys are not checked, and what others are doing is not known.
 */
static uint64
watches_of_new_row(TriggerState *state, TupleTableSlot *slot)
{
	const DcWatched *watched = state->watched;
	uint64		watches = watched->own;

	if (watched->nreferred == 0 || IsolationIsSerializable() ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return watches;
	for (int i = 0; i < watched->nreferred; i++)
	{
		DcReferred *referred = &watched->referred[i];
		bool		isnull;
		Datum		value = slot_getattr(slot, referred->reference.referenced, &isnull);

		if (isnull ||
			!dc_path_is_referred_to(&referred->reference, &referred->index,
									value, referred->type))
			watches &= ~referred->watches;
	}
	return watches;
}

/* The row trigger's work; its memory goes with the row. */
static pg_noinline void
note_row(TriggerState *state, Relation relation,
		 TupleTableSlot *before, TupleTableSlot *after, uint8 operation)
{
	const DcWatched *watched = state->watched;
	uint64		changed;
	uint64		watches_before = 0;
	uint64		watches_after = 0;

	if (before != NULL && after != NULL)
		changed = watches_of_update(watched, RelationGetDescr(relation), before,
									after);
	else
		changed = before == NULL ? watches_of_new_row(state, after) : watched->own;
	if (changed != 0 && before != NULL)
		watches_before = watches_of_row(state, before, changed);
	if (changed != 0 && after != NULL)
		watches_after = watches_of_row(state, after, changed);

	if ((watches_before | watches_after) & watched->any_change)
		dc_writer_touch_all(state->source,
							(watches_before | watches_after) & watched->any_change,
							operation, false);
	for (int i = 0; i < watched->nkeys; i++)
	{
		DcTenantKey *key = &watched->keys[i];

		if (key->kind == DC_KEY_UNKNOWN)
			dc_writer_touch_all(state->source, key->watches, operation, false);
		else if (key->moves)
		{
			if (leaves_others(key, relation, before, after))
				touch_tenants_of(state, i, relation, before, key->watches,
								 operation);
			if (moves_others(state, key, relation, before, after))
				touch_tenants_of(state, i, relation, after, key->watches,
								 operation);
		}
		if (key->kind == DC_KEY_UNKNOWN || key->moves)
			continue;
		if (watches_before & key->watches)
			touch_tenants_of(state, i, relation, before,
							 watches_before & key->watches, operation);
		if (watches_after & key->watches)
			touch_tenants_of(state, i, relation, after,
							 watches_after & key->watches, operation);
	}
	if (state->econtext != NULL)
		ResetExprContext(state->econtext);
}

/*
 * AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW
 */
Datum
dashcache_row_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TriggerState *state;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		refuse();
	if (!dc_preloaded)
		return PointerGetDatum(NULL);

	state = fcinfo->flinfo->fn_extra;
	if (unlikely(state == NULL))
		state = make_state(fcinfo, trigger->tg_relation);
	if (state->simple && !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		touch_column(state, 0, trigger->tg_trigslot,
					 state->watched->own & state->watched->keys[0].watches,
					 TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ?
					 DC_CHANGE_INSERT : DC_CHANGE_DELETE);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		note_row(state, trigger->tg_relation, NULL, trigger->tg_trigslot,
				 DC_CHANGE_INSERT);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		note_row(state, trigger->tg_relation, trigger->tg_trigslot, NULL,
				 DC_CHANGE_DELETE);
	else
		note_row(state, trigger->tg_relation, trigger->tg_trigslot,
				 trigger->tg_newslot, DC_CHANGE_UPDATE);
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

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		refuse();
	if (!dc_preloaded)
		return PointerGetDatum(NULL);

	look_up(trigger->tg_relation, &state);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		dc_writer_touch_all(state.source, state.watched->own,
							DC_CHANGE_TRUNCATE, true);
	return PointerGetDatum(NULL);
}
