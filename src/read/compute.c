/*-------------------------------------------------------------------------
 *
 * compute.c
 *		Running a widget's query.
 *
 * The query runs in the caller's active snapshot, as the widget's owner in a
 * security-restricted operation, under the settings that were pinned when the
 * widget was defined: what comes out does not depend on who asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/compute.h"

#include "guc.h"
#include "read/json.h"
#include "widget/code.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* For the error context. */
typedef struct WidgetName
{
	const char *dashboard;
	const char *widget;
} WidgetName;

static void
widget_error_callback(void *arg)
{
	WidgetName *name = arg;

	errcontext("dashcache widget \"%s\" of dashboard \"%s\"",
			   name->widget, name->dashboard);
}

static const char *const units[] = {
	[DC_ALIGN_MINUTE] = "minute",
	[DC_ALIGN_HOUR] = "hour",
	[DC_ALIGN_DAY] = "day",
	[DC_ALIGN_WEEK] = "week",
	[DC_ALIGN_MONTH] = "month"
};

static TimestampTz
truncate_to(DcAlign align, TimestampTz at)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_trunc,
												   CStringGetTextDatum(units[align]),
												   TimestampTzGetDatum(at)));
}

static TimestampTz
add_interval(TimestampTz at, const Interval *interval)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(at),
												   IntervalPGetDatum(interval)));
}

/*
 * The next boundary after "at", in the session's time zone, given the one
 * before.
 *
 * Minutes and hours last what they last.  Days and more end at a local time,
 * and between two changes of the clocks local time runs evenly.  A change may
 * jump over the boundary, back to the one before, or to an earlier one.
 */
static TimestampTz
next_boundary(DcAlign align, TimestampTz at, TimestampTz before)
{
	Interval	one = {0};
	Timestamp	local;

	switch (align)
	{
		case DC_ALIGN_DAY:
			one.day = 1;
			break;
		case DC_ALIGN_WEEK:
			one.day = 7;
			break;
		default:
			one.month = 1;
			break;
	}
	/* not from "before", since the clock may have jumped over that */
	local = DatumGetTimestamp(DirectFunctionCall1(timestamptz_timestamp,
												  TimestampTzGetDatum(at)));
	local = DatumGetTimestamp(DirectFunctionCall2(timestamp_trunc,
												  CStringGetTextDatum(units[align]),
												  TimestampGetDatum(local)));
	local = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												  TimestampGetDatum(local),
												  IntervalPGetDatum(&one)));

	for (;;)
	{
		pg_time_t	from = timestamptz_to_time_t(at);
		pg_time_t	change;
		long int	offset;
		long int	offset_after;
		int			is_dst;
		int			is_dst_after;
		TimestampTz changed = DT_NOEND;
		TimestampTz candidate;

		if (pg_next_dst_boundary(&from, &offset, &is_dst, &change,
								 &offset_after, &is_dst_after,
								 session_timezone) == 1)
			changed = time_t_to_timestamptz(change);

		if (align == DC_ALIGN_MINUTE)
			candidate = before + USECS_PER_MINUTE;
		else if (align == DC_ALIGN_HOUR)
			candidate = before + USECS_PER_HOUR;
		else
			candidate = local - offset * USECS_PER_SEC;

		if (candidate < changed)
			return candidate;
		if (truncate_to(align, changed) != before)
			return changed;
		at = changed;
	}
}

/*
 * When the answer was right, and how long it may be served.  A query that asks
 * for the time gets the start of the transaction, so that is what the answer
 * is as of, however late in the transaction it is computed.
 */
static void
set_lifetime(const DcWidget *widget, DcComputed *computed)
{
	TimestampTz at = widget->uses_clock ? GetCurrentTransactionStartTimestamp() :
	GetCurrentTimestamp();

	computed->generated_at = at;
	computed->valid_from = DT_NOBEGIN;
	computed->expires_at = DT_NOEND;
	if (widget->has_ttl)
		computed->expires_at = add_interval(at, &widget->ttl);
	if (widget->align != DC_ALIGN_NONE)
	{
		TimestampTz before = truncate_to(widget->align, at);
		TimestampTz boundary = next_boundary(widget->align, at, before);

		computed->valid_from = before;
		computed->expires_at = Min(computed->expires_at, boundary);
	}
}

/*
 * Where a table was dropped, its name may have come to mean a temporary table
 * or view of this session, whose functions would run as the widget's owner.
 * Called before the query is run or planned.
 */
static void
check_no_temporary(SPIPlanPtr plan)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, SPI_plan_get_plan_sources(plan))
	{
		foreach(lc2, ((CachedPlanSource *) lfirst(lc))->relationOids)
		{
			if (get_rel_persistence(lfirst_oid(lc2)) == RELPERSISTENCE_TEMP)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("a widget's query must not read temporary tables"),
						 errdetail("Table \"%s\" is temporary: other sessions do not have it.",
								   get_rel_name(lfirst_oid(lc2)))));
		}
	}
}

static void
prepare_plan(DcWidget *widget)
{
	Oid			types[2] = {widget->tenant_type.type, JSONBOID};
	uint64		roles = dc_standing_generation();
	SPIPlanPtr	plan;

	dc_code_check(dc_code_of_text(NIL, widget->query), widget->owner, &widget->roles);
	plan = SPI_prepare(widget->query, 2, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (!SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT")));
	check_no_temporary(plan);
	dc_code_keep_plan(&widget->plan, plan, roles);
}

static void
run_query(DcWidget *widget, Datum tenant, Datum params, StringInfo out)
{
	ParamListInfo list = makeParamList(2);
	SPIExecuteOptions options = {0};
	DestReceiver *receiver;
	int			result;

	list->params[0].value = tenant;
	list->params[0].isnull = false;
	list->params[0].pflags = PARAM_FLAG_CONST;
	list->params[0].ptype = widget->tenant_type.type;
	list->params[1].value = params;
	list->params[1].isnull = false;
	list->params[1].pflags = PARAM_FLAG_CONST;
	list->params[1].ptype = JSONBOID;

	/* a plan that is no longer valid is made anew, to be checked anew */
	if (!dc_code_plan_is_current(&widget->plan))
		prepare_plan(widget);
	dc_code_check_plan(&widget->plan, widget->owner, &widget->roles);

	receiver = dc_json_receiver(widget->result, out);
	options.params = list;
	options.read_only = true;	/* so it uses the active snapshot */
	options.must_return_tuples = true;
	options.dest = receiver;
	result = SPI_execute_plan_extended(widget->plan.plan, &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended failed: %s",
			 SPI_result_code_string(result));
	receiver->rDestroy(receiver);
}

static void
switch_to_owner(DcWidget *widget, DcOwnerWork work, void *arg,
				DcComputed *computed)
{
	DcAsOwner	as_owner;
	DcStanding	before = {0};
	bool		keeps = widget->stats != NULL && dc_enabled && !widget->broken;

	if (keeps)
		before = dc_standing_read(&widget->roles);
	dc_owner_begin(&as_owner, widget->owner, &widget->settings);
	set_lifetime(widget, computed);
	work(widget, arg);
	dc_owner_end(&as_owner);
	computed->same_standing = keeps && before.meaning == widget->standing &&
		dc_standing_read(&widget->roles).rows == before.rows;
}

/*
 * Do something that the widget's query has a part in, as its owner in a
 * security-restricted operation, under its pinned settings, and take down in
 * "computed" what is true of an answer that comes of it.  Errors are passed on,
 * counted, with the widget in their context.
 */
void
dc_compute_as_owner(const DcDashboard *dashboard, DcWidget *widget,
					DcOwnerWork work, void *arg, DcComputed *computed)
{
	WidgetName	name = {dashboard->name, widget->name};
	ErrorContextCallback callback;
	instr_time	start;
	instr_time	duration;

	callback.callback = widget_error_callback;
	callback.arg = &name;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	INSTR_TIME_SET_CURRENT(start);
	PG_TRY();
	{
		switch_to_owner(widget, work, arg, computed);
	}
	PG_CATCH();
	{
		if (widget->stats != NULL)
			dc_stats_add(widget->stats, DC_COUNT_ERRORS, 1);
		PG_RE_THROW();
	}
	PG_END_TRY();
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);

	error_context_stack = callback.previous;

	computed->duration_us = INSTR_TIME_GET_MICROSEC(duration);
}

typedef struct SingleRun
{
	Datum		tenant;
	Datum		params;
	StringInfo	out;
} SingleRun;

static void
run_single(DcWidget *widget, void *arg)
{
	SingleRun  *run = arg;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run_query(widget, run->tenant, run->params, run->out);
	SPI_finish();
}

/*
 * Compute a widget for a tenant, and append the answer to "out".  Errors of
 * the query are passed on, counted, with the widget in their context.
 */
void
dc_compute(const DcDashboard *dashboard, DcWidget *widget,
		   Datum tenant, Datum params, StringInfo out, DcComputed *computed)
{
	SingleRun	run = {tenant, params, out};

	dc_compute_as_owner(dashboard, widget, run_single, &run, computed);

	if (widget->stats != NULL)
	{
		dc_stats_add(widget->stats, DC_COUNT_COMPUTE_US, computed->duration_us);
		dc_stats_raise(widget->stats, DC_COUNT_COMPUTE_US_MAX,
					   computed->duration_us);
	}
	if (dc_log_min_duration_ms >= 0 &&
		computed->duration_us >= (uint64) dc_log_min_duration_ms * 1000)
		ereport(LOG,
				(errmsg("dashcache computed widget \"%s\" of dashboard \"%s\" in %.3f ms",
						widget->name, dashboard->name,
						computed->duration_us / 1000.0),
				 errhidestmt(true)));
}
