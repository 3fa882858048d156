/*-------------------------------------------------------------------------
 *
 * plan.c
 *		What a run is about, and how it is divided.
 *
 * Each worker makes its own list of dashboards and tenants, once for a run; the
 * first one counts them, and divides the work into tasks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/plan.h"

#include "read/compute_set.h"
#include "warm/dashboards.h"
#include "warm/task.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"

/* Tenants of a task; and the most tasks that a run is divided into. */
#define TENANTS_A_TASK 16
#define MAX_CHUNKS 256

/* Is a dashboard among those that were asked for? */
static bool
is_asked_for(const DcRunRequest *request, const DcDashboard *dashboard)
{
	if (request->at_start)
		return dashboard->warm_on_start;
	return has_privs_of_role(request->role, dashboard->owner);
}

/*-------------------------------------------------------------------------
 * Dashboards and tenants
 *-------------------------------------------------------------------------
 */

static void
add_part(DcDashboard *dashboard, void *arg)
{
	DcWork	   *work = arg;
	MemoryContext old;
	DcPart	   *part;

	if (!is_asked_for(&work->request, dashboard))
		return;
	old = MemoryContextSwitchTo(work->context);
	part = palloc0(sizeof(DcPart));
	part->dashboard = pstrdup(dashboard->name);
	work->parts = lappend(work->parts, part);
	MemoryContextSwitchTo(old);
}

/* Find out which dashboards. */
static void
read_dashboards(void *arg)
{
	DcWork	   *work = arg;
	char	   *error;

	error = dc_dashboards_each(work->request.dashboard[0] == '\0' ? NULL :
							   work->request.dashboard, add_part, work);
	if (error != NULL)
		dc_run_set_error(error);
}

typedef struct Reading
{
	DcWork	   *work;
	DcPart	   *part;
	bool		present;		/* it is there, and still asked for */
} Reading;

/* Find out for whom a dashboard is to be warmed. */
static void
read_audience(void *arg)
{
	Reading    *reading = arg;
	DcRunRequest *request = &reading->work->request;
	MemoryContext old = MemoryContextSwitchTo(reading->work->context);
	DcDashboard *dashboard = dc_metacache_dashboard(reading->part->dashboard);

	if (dashboard != NULL && is_asked_for(request, dashboard))
	{
		dc_tenants_audience(dashboard, request->one_tenant ? request->tenant : NULL,
							request->hour_of_week, &reading->part->audience);
		reading->present = true;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Make the list of what the run is about.  A dashboard that cannot be read, or
 * whose tenants query fails, is left out.  False if there is no list.
 */
bool
dc_plan_read_parts(DcWork *work)
{
	char	   *error;
	bool		transient;
	ListCell   *lc;

	if (!dc_task_run(read_dashboards, work, &error, &transient))
	{
		dc_run_set_error(error);
		return false;
	}
	foreach(lc, work->parts)
	{
		Reading		reading = {work, lfirst(lc)};

		dc_task_interrupts();
		if (!dc_run_is_cancelled() &&
			!dc_task_run(read_audience, &reading, &error, &transient))
			dc_run_set_error(error);
		if (!reading.present)
			work->parts = foreach_delete_current(work->parts, lc);
	}
	return true;
}

/*-------------------------------------------------------------------------
 * Tasks
 *-------------------------------------------------------------------------
 */

typedef struct Count
{
	DcWork	   *work;
	DcPart	   *part;
	int			longest;		/* list of tenants to be done one by one */
} Count;

typedef struct Question
{
	DcDashboard *dashboard;
	DcWidget   *widget;
	bool		allowed;
} Question;

static void
ask(void *arg)
{
	Question   *question = arg;

	question->allowed = dc_setwise_reason(question->dashboard, question->widget) == NULL;
}

/*
 * Can a widget be computed for all tenants at once?  If its query is no longer
 * valid, each of them will be told.
 */
static bool
allows_set(DcDashboard *dashboard, DcWidget *widget)
{
	Question	question = {dashboard, widget, false};

	(void) dc_task_attempt(ask, &question,
						   psprintf("look at widget \"%s\" of dashboard \"%s\"",
									widget->name, dashboard->name));
	return question.allowed;
}

/* Count what there is to do for a dashboard. */
static void
count_part(DcDashboard *dashboard, void *arg)
{
	Count	   *count = arg;
	DcRunPlan  *plan = &count->work->plan;

	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		DcWidget   *widget = &dashboard->widgets[i];
		const DcTenantList *tenants;
		Datum		params;
		int			most = 0;

		/* there is nothing to be kept of these */
		if (widget->never_cached || widget->broken)
			continue;

		for (int v = 0; (tenants = dc_tenants_of_widget(&count->part->audience, widget, v, &params)) != NULL; v++)
		{
			plan->planned += tenants->n;
			most = Max(most, tenants->n);
		}
		if (most >= DC_MIN_SET && plan->nsets < DC_RUN_SETS &&
			allows_set(dashboard, widget))
			plan->sets[plan->nsets++] = widget->id;
		else
			count->longest = Max(count->longest, most);
	}
}

/* Count what there is to do, and say how it is divided. */
static void
make_plan(void *arg)
{
	DcWork	   *work = arg;
	Count		count = {work};
	ListCell   *lc;

	memset(&work->plan, 0, sizeof(work->plan));
	foreach(lc, work->parts)
	{
		char	   *error;

		count.part = lfirst(lc);
		error = dc_dashboards_each(count.part->dashboard, count_part, &count);
		if (error != NULL)
			dc_run_set_error(error);
	}
	if (count.longest > 0)
		work->plan.nchunks = Min(Max(count.longest / TENANTS_A_TASK, 1), MAX_CHUNKS);
}

/* Make the plan, and tell the others of it.  If that fails it is empty. */
bool
dc_plan_make(DcWork *work)
{
	char	   *error;
	bool		transient;
	bool		done = dc_task_run(make_plan, work, &error, &transient);

	if (!done)
	{
		dc_run_set_error(error);
		memset(&work->plan, 0, sizeof(work->plan));
	}
	dc_run_set_plan(&work->plan);
	return done;
}

/* Is a widget to be computed for all tenants at once? */
bool
dc_plan_has_set(const DcRunPlan *plan, uint32 widget)
{
	for (int i = 0; i < plan->nsets; i++)
	{
		if (plan->sets[i] == widget)
			return true;
	}
	return false;
}
