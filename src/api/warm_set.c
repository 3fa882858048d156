/*-------------------------------------------------------------------------
 *
 * warm_set.c
 *		dashcache.setwise() and dashcache.warm_set().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/compute_set.h"
#include "api/arguments.h"
#include "read/background.h"
#include "read/tenant.h"
#include "widget/acl.h"
#include "widget/metacache.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(dashcache_setwise);
PG_FUNCTION_INFO_V1(dashcache_warm_set);

typedef struct Filling
{
	DcDashboard *dashboard;
	DcWidget   *widget;
	Datum	   *tenants;
	Datum		params;
	int64		stored;
	MemoryContext context;		/* for one tenant */
} Filling;

/* The widget that arguments 0 and 1 name; throws unless it may be read. */
static DcWidget *
widget_argument(FunctionCallInfo fcinfo, DcDashboard **dashboard)
{
	*dashboard = dc_existing_dashboard(dc_argument_text(fcinfo, 1));
	dc_acl_check_read(*dashboard);
	return dc_existing_widget(*dashboard, dc_argument_text(fcinfo, 0));
}

/*
 * dashcache.setwise(widget, dashboard): see COMMENT ON FUNCTION.
 */
Datum
dashcache_setwise(PG_FUNCTION_ARGS)
{
	DcDashboard *dashboard;
	DcWidget   *widget = widget_argument(fcinfo, &dashboard);
	const char *reason = dc_setwise_reason(dashboard, widget);

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

static void
store_answer(int tenant, const char *payload, Size len,
			 const DcComputed *computed, void *arg)
{
	Filling    *filling = arg;
	MemoryContext old = MemoryContextSwitchTo(filling->context);

	if (dc_background_store(filling->dashboard, filling->widget,
							filling->tenants[tenant], filling->params,
							payload, len, computed) == NULL)
		filling->stored++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(filling->context);
}

/*
 * dashcache.warm_set(widget, dashboard, tenants, params): see COMMENT ON
 * FUNCTION.
 */
Datum
dashcache_warm_set(PG_FUNCTION_ARGS)
{
	Filling		filling = {0};
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	filling.widget = widget_argument(fcinfo, &filling.dashboard);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &n);
	filling.params = JsonbPGetDatum(PG_GETARG_JSONB_P(3));
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(filling.params)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON object"),
				 errhint("For example '{\"days\": 7}'.")));

	filling.tenants = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		DcRequest	request = {.tenant = elements[i],.tenant_type = TEXTOID};

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("tenant must not be null")));
		filling.tenants[i] = dc_tenant_of_request(&request, filling.widget);
	}

	filling.context = AllocSetContextCreate(CurrentMemoryContext,
											"dashcache tenant",
											ALLOCSET_SMALL_SIZES);
	dc_compute_set(filling.dashboard, filling.widget, filling.tenants, n,
				   filling.params, store_answer, &filling);
	PG_RETURN_INT64(filling.stored);
}
