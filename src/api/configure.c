/*-------------------------------------------------------------------------
 *
 * configure.c
 *		dashcache_configure(): the settings of a dashboard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"
#include "demand.h"
#include "warm/tenants.h"
#include "widget/acl.h"
#include "widget/catalog.h"
#include "widget/role_use.h"
#include "widget/settings.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(dashcache_configure);

/* The arguments, in their order. */
enum
{
	ARG_DASHBOARD,
	ARG_TENANTS,
	ARG_VARIANTS,
	ARG_GUARD,
	ARG_MEMORY_LIMIT,
	ARG_WARM_ON_START,
	ARG_WARM_ON_CHANGE,
	ARG_NOTIFY,
	ARG_GUARD_EXEMPT_OWNER
};

static void
tenants_error_callback(void *arg)
{
	errcontext("tenants query of dashcache dashboard \"%s\"", (const char *) arg);
}

/* Run the tenants query once, so that what is wrong with it is said here. */
static void
check_tenants(const char *query, const DcDashboard *dashboard,
			  const DcSettings *settings, DcRoles *roles)
{
	ErrorContextCallback callback;
	DcTenantList tenants = {0};
	DcTenantsFound found;

	callback.callback = tenants_error_callback;
	callback.arg = unconstify(char *, &dashboard->name[0]);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	dc_tenants_query(query, dashboard->owner, settings, roles, true, &tenants, &found);
	error_context_stack = callback.previous;

	if (found.nulls > 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the tenants query returns null"),
				 errdetail("It does so in " INT64_FORMAT " of " INT64_FORMAT " rows.",
						   found.nulls, found.nulls + found.duplicates + tenants.n),
				 errhint("Add a condition such as WHERE company_id IS NOT NULL.")));
	if (found.duplicates > 0)
		ereport(NOTICE,
				(errmsg("the tenants query lists tenants more than once"),
				 errdetail(INT64_FORMAT " of " INT64_FORMAT " rows are repetitions. Each tenant is warmed once.",
						   found.duplicates, found.duplicates + tenants.n)));
}

static void
check_variants(Jsonb *variants)
{
	if (!JB_ROOT_IS_ARRAY(variants) || JB_ROOT_IS_SCALAR(variants))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("variants must be a JSON array"),
				 errhint("For example '[{\"days\": 7}, {\"days\": 30}]'.")));
	for (int i = 0; i < JsonContainerSize(&variants->root); i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&variants->root, i);

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("each of the variants must be a JSON object"),
					 errdetail("Number %d is not.", i + 1),
					 errhint("For example '[{\"days\": 7}, {\"days\": 30}]'.")));
	}
}

/* The name of a setting that applications can set: it has a prefix. */
static void
check_guard(const char *guard)
{
	if (strchr(guard, '.') == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("guard must be the name of a customized setting: \"%s\"", guard),
				 errhint("For example 'app.tenant_id'.")));
	/* throws if there cannot be a setting of that name */
	(void) set_config_option(guard, "", PGC_USERSET, PGC_S_TEST, GUC_ACTION_SET,
							 false, ERROR, false);
}

/* A size as settings are written; in kilobytes. */
static int
check_memory_limit(const char *limit)
{
	const char *hint = NULL;
	int			kb;

	if (!parse_int(limit, &kb, GUC_UNIT_KB, &hint) || kb <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("memory_limit must be a size: \"%s\"", limit),
				 errhint("%s", hint != NULL ? _(hint) : "For example '16MB'.")));
	return kb;
}

static void
not_supported(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s is not supported by this version of dashcache", what)));
}

/*
 * dashcache_configure(dashboard, tenants, variants, guard, memory_limit,
 * warm_on_start, warm_on_change, notify, guard_exempt_owner)
 */
Datum
dashcache_configure(PG_FUNCTION_ARGS)
{
	char	   *name = dc_argument_name(fcinfo, ARG_DASHBOARD, "dashboard");
	char	   *tenants = dc_argument_text(fcinfo, ARG_TENANTS);
	char	   *guard = dc_argument_text(fcinfo, ARG_GUARD);
	char	   *memory_limit = dc_argument_text(fcinfo, ARG_MEMORY_LIMIT);
	char	   *notify = dc_argument_text(fcinfo, ARG_NOTIFY);
	DcSettings	settings = dc_settings_capture();
	DcDashboard *dashboard;
	DcCatalogWork work;
	DcRoles		tenants_roles = {0};
	Oid			types[10] = {TEXTOID, TEXTOID, TEXTARRAYOID, JSONBOID, TEXTOID,
	BOOLOID, BOOLOID, INT4OID, BOOLOID, REGROLEARRAYOID};
	Datum		values[10] = {0};
	char		nulls[10];

	dc_lock_definitions();
	dashboard = dc_existing_dashboard(name);
	dc_acl_check_owner(dashboard);

	memset(nulls, 'n', sizeof(nulls));
	values[0] = CStringGetTextDatum(name);
	nulls[0] = ' ';
	if (tenants != NULL)
	{
		if (tenants[0] != '\0')
			check_tenants(tenants, dashboard, &settings, &tenants_roles);
		values[1] = CStringGetTextDatum(tenants);
		values[2] = dc_settings_to_array(&settings);
		values[9] = dc_roles_to_array(&tenants_roles);
		nulls[1] = nulls[2] = nulls[9] = ' ';
	}
	if (!PG_ARGISNULL(ARG_VARIANTS))
	{
		check_variants(PG_GETARG_JSONB_P(ARG_VARIANTS));
		values[3] = PG_GETARG_DATUM(ARG_VARIANTS);
		nulls[3] = ' ';
	}
	if (guard != NULL)
	{
		if (guard[0] != '\0')
			check_guard(guard);
		values[4] = CStringGetTextDatum(guard);
		nulls[4] = ' ';
	}
	if (memory_limit != NULL)
	{
		values[7] = Int32GetDatum(memory_limit[0] == '\0' ? 0 : check_memory_limit(memory_limit));
		nulls[7] = ' ';
	}
	if (notify != NULL && notify[0] != '\0')
		not_supported("notify");
	for (int i = 0; i < 2; i++)
	{
		if (!PG_ARGISNULL(ARG_WARM_ON_START + i))
		{
			values[5 + i] = PG_GETARG_DATUM(ARG_WARM_ON_START + i);
			nulls[5 + i] = ' ';
		}
	}

	if (!PG_ARGISNULL(ARG_GUARD_EXEMPT_OWNER))
	{
		values[8] = PG_GETARG_DATUM(ARG_GUARD_EXEMPT_OWNER);
		nulls[8] = ' ';
	}

	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.dashboard SET"
					   "  tenants = NULLIF(COALESCE($2, tenants), ''),"
					   "  tenants_settings = COALESCE($3, tenants_settings),"
					   "  variants = NULLIF(COALESCE($4, variants), '[]'),"
					   "  guard = NULLIF(COALESCE($5, guard), ''),"
					   "  warm_on_start = COALESCE($6, warm_on_start),"
					   "  warm_on_change = COALESCE($7, warm_on_change),"
					   "  memory_limit = NULLIF(COALESCE($8, memory_limit), 0),"
					   "  guard_exempt_owner = COALESCE($9, guard_exempt_owner),"
					   "  tenants_roles = COALESCE($10, tenants_roles)"
					   " WHERE name = $1",
					   10, types, values, nulls);
	/* what was in use is of interest only while it is to be warmed */
	dc_catalog_execute("DELETE FROM dashcache.use u USING dashcache.dashboard d"
					   " WHERE u.dashboard = $1 AND d.name = $1 AND NOT d.warm_on_start",
					   1, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
	dc_role_use_tell();
	dc_demand_at_commit();
	PG_RETURN_VOID();
}
