/*-------------------------------------------------------------------------
 *
 * json.c
 *		A query's rows, as the bytes of an answer.
 *
 * A writer turns each row into JSON as it comes, with the server's own
 * row_to_json() and to_json(), so that neither the rows nor their JSON exist
 * twice.  It writes one answer after another, for a query that gives several; a
 * destination receiver feeds it for a query that gives one.
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

struct DcJsonWriter
{
	DcResultKind kind;
	StringInfo	out;
	uint64		rows;			/* of this answer */
	TupleDesc	desc;			/* of the query; a row's own may lack names */
	FmgrInfo	to_json;		/* for DC_RESULT_VALUE */
	MemoryContext row_context;
};

typedef struct JsonReceiver
{
	DestReceiver pub;
	DcResultKind kind;
	StringInfo	out;
	DcJsonWriter *writer;
} JsonReceiver;

static void
append_text(StringInfo out, Datum json)
{
	text	   *bytes = DatumGetTextPP(json);

	appendBinaryStringInfo(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

static void
append_row(DcJsonWriter *writer, TupleTableSlot *slot)
{
	HeapTuple	row;

	slot_getallattrs(slot);
	row = heap_form_tuple(writer->desc, slot->tts_values, slot->tts_isnull);
	append_text(writer->out,
				DirectFunctionCall1(row_to_json, HeapTupleGetDatum(row)));
}

static void
append_value(DcJsonWriter *writer, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, 1, &isnull);

	if (isnull)
		appendStringInfoString(writer->out, "null");
	else
		append_text(writer->out, FunctionCall1(&writer->to_json, value));
}

/*
 * A writer of answers of the first "columns" columns of rows of "desc", in the
 * current memory context.
 */
DcJsonWriter *
dc_json_writer(DcResultKind kind, TupleDesc desc, int columns, StringInfo out)
{
	DcJsonWriter *writer = palloc0(sizeof(DcJsonWriter));

	writer->kind = kind;
	writer->out = out;
	writer->row_context = AllocSetContextCreate(CurrentMemoryContext,
												"dashcache row",
												ALLOCSET_DEFAULT_SIZES);

	/* row_to_json() finds the columns by the type of the row */
	writer->desc = CreateTemplateTupleDesc(columns);
	for (AttrNumber i = 1; i <= columns; i++)
		TupleDescCopyEntry(writer->desc, i, desc, i);
	writer->desc = BlessTupleDesc(writer->desc);

	if (kind == DC_RESULT_VALUE)
	{
		Oid			type;

		if (columns != 1)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the query returned %d columns", columns),
					 errhint("A widget with result => 'value' returns one column.")));

		/* to_json() asks for the type of its argument's expression */
		type = TupleDescAttr(desc, 0)->atttypid;
		fmgr_info(F_TO_JSON, &writer->to_json);
		fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID,
												 list_make1(makeNullConst(type, -1, InvalidOid)),
												 InvalidOid, InvalidOid,
												 COERCE_EXPLICIT_CALL),
						   &writer->to_json);
	}
	return writer;
}

/* Begin an answer. */
void
dc_json_begin(DcJsonWriter *writer)
{
	writer->rows = 0;
	if (writer->kind == DC_RESULT_ROWS)
		appendStringInfoChar(writer->out, '[');
}

/* Append a row to the answer. */
void
dc_json_row(DcJsonWriter *writer, TupleTableSlot *slot)
{
	MemoryContext old;

	if (writer->rows > 0)
	{
		if (writer->kind != DC_RESULT_ROWS)
			ereport(ERROR,
					(errcode(ERRCODE_CARDINALITY_VIOLATION),
					 errmsg("the query returned more than one row"),
					 errhint("Define the widget with result => 'rows', or add LIMIT 1.")));
		appendStringInfoChar(writer->out, ',');
	}
	writer->rows++;

	old = MemoryContextSwitchTo(writer->row_context);
	if (writer->kind == DC_RESULT_VALUE)
		append_value(writer, slot);
	else
		append_row(writer, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->row_context);
}

/* Complete the answer after its last row. */
void
dc_json_end(DcJsonWriter *writer)
{
	if (writer->kind == DC_RESULT_ROWS)
		appendStringInfoChar(writer->out, ']');
	else if (writer->rows == 0)
		appendStringInfoString(writer->out, "null");
}

/* Free the writer; what it has written stays. */
void
dc_json_free(DcJsonWriter *writer)
{
	MemoryContextDelete(writer->row_context);
	pfree(writer);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	dc_json_row(((JsonReceiver *) self)->writer, slot);
	return true;
}

static void
start_up(DestReceiver *self, int operation, TupleDesc desc)
{
	JsonReceiver *receiver = (JsonReceiver *) self;

	receiver->writer = dc_json_writer(receiver->kind, desc, desc->natts,
									  receiver->out);
	dc_json_begin(receiver->writer);
}

static void
shut_down(DestReceiver *self)
{
	JsonReceiver *receiver = (JsonReceiver *) self;

	dc_json_end(receiver->writer);
	dc_json_free(receiver->writer);
}

static void
destroy(DestReceiver *self)
{
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
	return (DestReceiver *) receiver;
}
