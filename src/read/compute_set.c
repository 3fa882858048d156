/*-------------------------------------------------------------------------
 *
 * compute_set.c
 *		Running a widget's query for many tenants at once.
 *
 * The query is made anew for each set, from the widget's text (setwise.c):
 * whether it may be depends on what DDL can change, such as a primary key, and
 * finding out takes no time beside running it.
 *
 * All answers are complete before the first is handed out, so that an error
 * leaves nothing behind, and the caller is free to compute one by one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/compute_set.h"

#include "guc.h"
#include "read/json.h"
#include "widget/setwise.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/params.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* The answers of a set, one after another in "out". */
typedef struct SetRun
{
	Datum	   *tenants;
	int			ntenants;
	Datum		params;
	StringInfoData out;
	int		   *start;
	int		   *len;			/* 0: the query has no rows for the tenant */
} SetRun;

typedef struct SetReceiver
{
	DestReceiver pub;
	SetRun	   *run;
	DcResultKind kind;
	int64		offset;
	int64		limit;
	DcJsonWriter *writer;
	int			columns;		/* without the tenant's number */
	int64		tenant;			/* the current one, from 1; 0: none yet */
	int64		rows;			/* of it */
} SetReceiver;

static void
end_tenant(SetReceiver *receiver)
{
	SetRun	   *run = receiver->run;
	int			i = receiver->tenant - 1;

	if (receiver->tenant == 0)
		return;
	dc_json_end(receiver->writer);
	run->len[i] = run->out.len - run->start[i];
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	SetReceiver *receiver = (SetReceiver *) self;
	bool		isnull;
	int64		tenant = DatumGetInt64(slot_getattr(slot, receiver->columns + 1,
													&isnull));

	if (tenant != receiver->tenant)
	{
		if (isnull || tenant <= receiver->tenant ||
			tenant > receiver->run->ntenants)
			elog(ERROR, "unexpected tenant number");
		end_tenant(receiver);
		receiver->tenant = tenant;
		receiver->rows = 0;
		receiver->run->start[tenant - 1] = receiver->run->out.len;
		dc_json_begin(receiver->writer);
	}
	receiver->rows++;
	if (receiver->rows > receiver->offset &&
		(receiver->limit < 0 ||
		 receiver->rows - receiver->offset <= receiver->limit))
		dc_json_row(receiver->writer, slot);
	return true;
}

static void
start_up(DestReceiver *self, int operation, TupleDesc desc)
{
	SetReceiver *receiver = (SetReceiver *) self;

	receiver->columns = desc->natts - 1;
	receiver->writer = dc_json_writer(receiver->kind, desc, receiver->columns,
									  &receiver->run->out);
}

static void
shut_down(DestReceiver *self)
{
	SetReceiver *receiver = (SetReceiver *) self;

	end_tenant(receiver);
	dc_json_free(receiver->writer);
}

static void
destroy(DestReceiver *self)
{
}

static void
run_set(DcWidget *widget, void *arg)
{
	SetRun	   *run = arg;
	DcSetwise  *setwise = dc_setwise_analyze(widget->query, &widget->roles);
	SetReceiver receiver = {{0}};
	ParamListInfo params = makeParamList(2);
	QueryDesc  *desc;
	PlannedStmt *plan;

	if (setwise->reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("widget \"%s\" cannot be computed for many tenants at once",
						widget->name),
				 errdetail_internal("It is not certain that the answers would be the same: %s.",
									setwise->reason)));
	if (setwise->tenant_type != widget->tenant_type.type)
		elog(ERROR, "the type of $1 has changed");

	receiver.pub.receiveSlot = receive_row;
	receiver.pub.rStartup = start_up;
	receiver.pub.rShutdown = shut_down;
	receiver.pub.rDestroy = destroy;
	receiver.pub.mydest = DestNone;
	receiver.run = run;
	receiver.kind = widget->result;
	receiver.offset = setwise->offset;
	receiver.limit = setwise->limit;

	/* $1 is no longer in it */
	params->params[0].isnull = true;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = widget->tenant_type.type;
	params->params[1].value = run->params;
	params->params[1].isnull = false;
	params->params[1].pflags = PARAM_FLAG_CONST;
	params->params[1].ptype = JSONBOID;

	plan = pg_plan_query(dc_setwise_query(setwise, run->tenants, run->ntenants),
						 widget->query, CURSOR_OPT_PARALLEL_OK, params);
	desc = CreateQueryDesc(plan, widget->query, GetActiveSnapshot(),
						   InvalidSnapshot, &receiver.pub, params, NULL, 0);
	ExecutorStart(desc, 0);
	ExecutorRun(desc, ForwardScanDirection, 0, true);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/*
 * Compute a widget for many tenants, of its own type, none of them null, in the
 * active snapshot, and hand each answer to "answer": the same bytes that
 * dc_compute() makes.  Throws if dc_setwise_reason() has a reason, and if the
 * query fails, be it on the rows of one tenant alone; then none is handed out.
 */
void
dc_compute_set(const DcDashboard *dashboard, DcWidget *widget,
			   Datum *tenants, int ntenants, Datum params,
			   DcSetAnswer answer, void *arg)
{
	MemoryContext context;
	MemoryContext old;
	SetRun		run = {tenants, ntenants, params};
	DcComputed	computed;
	DcComputed	computed_empty;
	StringInfoData empty;
	uint64		duration_us;

	if (ntenants == 0)
		return;

	context = AllocSetContextCreate(CurrentMemoryContext, "dashcache set",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	initStringInfo(&run.out);
	run.start = palloc0(sizeof(int) * ntenants);
	run.len = palloc0(sizeof(int) * ntenants);

	dc_compute_as_owner(dashboard, widget, run_set, &run, &computed);

	/* what an answer has cost is its share */
	duration_us = computed.duration_us;
	computed.duration_us = duration_us / ntenants;
	if (widget->stats != NULL)
		dc_stats_add(widget->stats, DC_COUNT_COMPUTE_US, duration_us);
	if (dc_log_min_duration_ms >= 0 &&
		duration_us >= (uint64) dc_log_min_duration_ms * 1000)
		ereport(LOG,
				(errmsg("dashcache computed widget \"%s\" of dashboard \"%s\" for %d tenants in %.3f ms",
						widget->name, dashboard->name, ntenants,
						duration_us / 1000.0),
				 errhidestmt(true)));

	/*
	 * The query is the same for all tenants that have no rows, since $1 is
	 * nowhere but in the condition that no row meets.  So ask for one.
	 */
	initStringInfo(&empty);
	for (int i = 0; i < ntenants && empty.len == 0; i++)
	{
		if (run.len[i] == 0)
			dc_compute(dashboard, widget, tenants[i], params, &empty,
					   &computed_empty);
	}
	MemoryContextSwitchTo(old);

	for (int i = 0; i < ntenants; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (run.len[i] > 0)
			answer(i, run.out.data + run.start[i], run.len[i], &computed, arg);
		else
			answer(i, empty.data, empty.len, &computed_empty, arg);
	}
	MemoryContextDelete(context);
}

typedef struct Question
{
	MemoryContext context;
	const char *reason;
} Question;

static void
ask_for_reason(DcWidget *widget, void *arg)
{
	Question   *question = arg;
	const char *reason = dc_setwise_analyze(widget->query, &widget->roles)->reason;

	if (reason != NULL)
		question->reason = MemoryContextStrdup(question->context, reason);
}

/*
 * Why a widget must be computed for one tenant at a time, in words, in the
 * current memory context; NULL if it need not.  Throws if the query has become
 * invalid.
 */
const char *
dc_setwise_reason(const DcDashboard *dashboard, DcWidget *widget)
{
	Question	question = {CurrentMemoryContext, NULL};
	DcComputed	unused;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "dashcache setwise",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	dc_compute_as_owner(dashboard, widget, ask_for_reason, &question, &unused);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return question.reason;
}
