/*-------------------------------------------------------------------------
 *
 * arguments.c
 *		Arguments that several functions have, and what they name.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"

#include "warm/run.h"
#include "widget/catalog.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"

/* A text, or NULL. */
char *
dc_argument_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* The name of a dashboard or widget; throws if it cannot be one. */
char *
dc_argument_name(FunctionCallInfo fcinfo, int n, const char *what)
{
	char	   *name = dc_argument_text(fcinfo, n);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("%s must not be empty", what)));
	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("%s is too long", what),
				 errdetail("It has %zu bytes, the limit is %d.",
						   strlen(name), NAMEDATALEN - 1)));
	return name;
}

/* The dashboard of that name; throws if there is none. */
DcDashboard *
dc_existing_dashboard(const char *name)
{
	DcDashboard *dashboard = dc_metacache_dashboard(name);

	if (dashboard == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("dashboard \"%s\" does not exist", name),
				 errhint("dashcache_define() makes one; the view dashcache_stats lists them.")));
	return dashboard;
}

/* The widget of that name; throws if there is none. */
DcWidget *
dc_existing_widget(DcDashboard *dashboard, const char *name)
{
	DcWidget   *widget = dc_metacache_widget(dashboard, name);

	if (widget == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("widget \"%s\" of dashboard \"%s\" does not exist",
						name, dashboard->name),
				 errhint("The view dashcache_stats lists the widgets.")));
	return widget;
}

/* Definitions wait for each other until the end of the transaction. */
void
dc_lock_definitions(void)
{
	if (!OidIsValid(dc_catalog_relid(DC_TABLE_WIDGET)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table dashcache.widget does not exist"),
				 errhint("Run CREATE EXTENSION dashcache.")));
	LockRelationOid(dc_catalog_relid(DC_TABLE_WIDGET), ShareRowExclusiveLock);
}

/* A tenant to warm, or NULL. */
char *
dc_argument_tenant(FunctionCallInfo fcinfo, int n)
{
	char	   *tenant = dc_argument_text(fcinfo, n);

	if (tenant != NULL && strlen(tenant) >= DC_RUN_TENANT_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tenant is too long to be warmed"),
				 errdetail("It has %zu bytes, the limit is %d.",
						   strlen(tenant), DC_RUN_TENANT_LEN - 1)));
	return tenant;
}
