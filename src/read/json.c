/*-------------------------------------------------------------------------
 *
 * json.c
 *		A query's rows, as the bytes of an answer.
 *
 * A destination receiver that turns each row into JSON as it comes, with the
 * server's own row_to_json() and to_json(), so that neither the rows nor their
 * JSON exist twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/json.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

typedef struct JsonReceiver
{
	DestReceiver pub;
	DcResultKind kind;
	StringInfo	out;
	uint64		rows;
	TupleDesc	desc;			/* of the query; a row's own may lack names */
	FmgrInfo	to_json;		/* for DC_RESULT_VALUE */
	MemoryContext row_context;
} JsonReceiver;

static void
append_text(StringInfo out, Datum json)
{
	text	   *bytes = DatumGetTextPP(json);

	appendBinaryStringInfo(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

static void
append_row(JsonReceiver *receiver, TupleTableSlot *slot)
{
	HeapTuple	row;

	slot_getallattrs(slot);
	row = heap_form_tuple(receiver->desc, slot->tts_values, slot->tts_isnull);
	append_text(receiver->out,
				DirectFunctionCall1(row_to_json, HeapTupleGetDatum(row)));
}

static void
append_value(JsonReceiver *receiver, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, 1, &isnull);

	if (isnull)
		appendStringInfoString(receiver->out, "null");
	else
		append_text(receiver->out, FunctionCall1(&receiver->to_json, value));
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	JsonReceiver *receiver = (JsonReceiver *) self;
	MemoryContext old;

	if (receiver->rows > 0)
	{
		if (receiver->kind != DC_RESULT_ROWS)
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("the query returned more than one row"),
					 errhint("Define the widget with result => 'rows', or add LIMIT 1.")));
		appendStringInfoChar(receiver->out, ',');
	}
	receiver->rows++;

	old = MemoryContextSwitchTo(receiver->row_context);
	if (receiver->kind == DC_RESULT_VALUE)
		append_value(receiver, slot);
	else
		append_row(receiver, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
start_up(DestReceiver *self, int operation, TupleDesc desc)
{
	JsonReceiver *receiver = (JsonReceiver *) self;

	/* row_to_json() finds the columns by the type of the row */
	receiver->desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	if (receiver->kind == DC_RESULT_ROWS)
		appendStringInfoChar(receiver->out, '[');
	else if (receiver->kind == DC_RESULT_VALUE)
	{
		Oid			type;

		if (desc->natts != 1)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the query returned %d columns", desc->natts),
					 errhint("A widget with result => 'value' returns one column.")));

		/* to_json() asks for the type of its argument's expression */
		type = TupleDescAttr(desc, 0)->atttypid;
		fmgr_info(F_TO_JSON, &receiver->to_json);
		fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID,
												 list_make1(makeNullConst(type, -1, InvalidOid)),
												 InvalidOid, InvalidOid,
												 COERCE_EXPLICIT_CALL),
						   &receiver->to_json);
	}
}

static void
shut_down(DestReceiver *self)
{
}

static void
destroy(DestReceiver *self)
{
	MemoryContextDelete(((JsonReceiver *) self)->row_context);
	pfree(self);
}

/* A receiver that appends the answer to "out". */
DestReceiver *
dc_json_receiver(DcResultKind kind, StringInfo out)
{
	JsonReceiver *receiver = palloc0(sizeof(JsonReceiver));

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = start_up;
	receiver->pub.rShutdown = shut_down;
	receiver->pub.rDestroy = destroy;
	receiver->pub.mydest = DestNone;
	receiver->kind = kind;
	receiver->out = out;
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext,
												  "dashcache row",
												  ALLOCSET_DEFAULT_SIZES);
	return (DestReceiver *) receiver;
}

/* Complete the answer after the last row. */
void
dc_json_finish(DestReceiver *self)
{
	JsonReceiver *receiver = (JsonReceiver *) self;

	if (receiver->kind == DC_RESULT_ROWS)
		appendStringInfoChar(receiver->out, ']');
	else if (receiver->rows == 0)
		appendStringInfoString(receiver->out, "null");
}
