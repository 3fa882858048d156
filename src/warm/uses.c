/*-------------------------------------------------------------------------
 *
 * uses.c
 *		What is in use, and when.
 *
 * The entries tell what is in use now.  Of the dashboards that are warmed on
 * start, dashcache.use remembers it over a restart; of those that are warmed
 * ahead of their visitors, dashcache.visit learns in which hours of the week a
 * tenant comes.
 *
 * Locking: the store's, while entries are copied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/uses.h"

#include "read/tenant.h"
#include "store/store.h"
#include "warm/schedule.h"
#include "widget/catalog.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So many uses of a dashboard are remembered, and so many days. */
#define MAX_USES 10000
#define USE_DAYS 14

/* A tenant and params longer than this, together, are not worth an index entry. */
#define MAX_USE_LEN 1500

/* Of so many weeks the share of visits is taken; of more, the latest weigh more. */
#define VISIT_WEEKS 8

/* A tenant is expected in an hour if it came in it in this share of the weeks. */
#define EXPECTED_SHARE 0.5

/* Smaller shares are as good as none. */
#define SMALLEST_SHARE 0.05

/* A copy of what an entry says about its use. */
typedef struct Use
{
	const DcWidget *widget;
	Datum		tenant;
	Datum		params;			/* 0: none */
	TimestampTz last_used_at;
	struct Use *next;
} Use;

typedef struct Collect
{
	DcDashboard *dashboard;
	TimestampTz since;
	Use		   *uses;
} Collect;

static void
collect_use(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	Collect    *collect = arg;
	TimestampTz last_used_at = dc_entry_last_used(entry);

	/* what was warmed and never read is not in use */
	if (definition->database != MyDatabaseId || last_used_at < collect->since)
		return;
	for (int i = 0; i < collect->dashboard->nwidgets; i++)
	{
		const DcWidget *widget = &collect->dashboard->widgets[i];
		Use		   *use;

		if (widget->broken || widget->id != definition->widget ||
			widget->version != definition->version)
			continue;
		use = palloc0(sizeof(Use));
		use->widget = widget;
		use->tenant = dc_tenant_from_bytes(&widget->tenant_type,
										   DC_ENTRY_TENANT(entry),
										   entry->tenant_len);
		if (widget->uses_params)
			use->params = dc_params_from_bytes(DC_ENTRY_PARAMS(entry),
											   entry->params_len);
		use->last_used_at = last_used_at;
		use->next = collect->uses;
		collect->uses = use;
	}
}

static Use *
uses_of(DcDashboard *dashboard)
{
	Collect		collect = {dashboard};

	collect.since = GetCurrentTimestamp() - USE_DAYS * USECS_PER_DAY;

	dc_store_scan(collect_use, &collect);
	return collect.uses;
}

/* The tenant as text that is read alike under all settings. */
static char *
tenant_text(const Use *use)
{
	DcTenantType type = use->widget->tenant_type;
	int			nestlevel;
	char	   *text;

	if (!type.reads_settings)
		return OutputFunctionCall(&type.output, use->tenant);
	nestlevel = NewGUCNestLevel();
	dc_settings_pin_plain();
	text = OutputFunctionCall(&type.output, use->tenant);

	AtEOXact_GUC(false, nestlevel);
	return text;
}

/* Call "reader" for all that is in use of a dashboard, or was lately. */
void
dc_uses_each(DcDashboard *dashboard, DcUseReader reader, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	Oid			type = TEXTOID;
	Datum		name = CStringGetTextDatum(dashboard->name);
	uint64		n;

	for (Use *use = uses_of(dashboard); use != NULL; use = use->next)
		reader(tenant_text(use), use->params, arg);

	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT tenant, params FROM dashcache.use WHERE dashboard = $1",
						   1, &type, &name, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		Jsonb	   *params = DatumGetJsonbP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
		MemoryContext old = MemoryContextSwitchTo(caller);

		reader(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1),
			   JB_ROOT_IS_OBJECT(params) ? datumCopy(JsonbPGetDatum(params), false, -1) : (Datum) 0,
			   arg);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
}

/* Remember what is in use of a dashboard. */
void
dc_uses_save(DcDashboard *dashboard)
{
	Use		   *uses = uses_of(dashboard);
	ArrayBuildState *tenants = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ArrayBuildState *params = initArrayResult(JSONBOID, CurrentMemoryContext, false);
	ArrayBuildState *times = initArrayResult(TIMESTAMPTZOID, CurrentMemoryContext, false);
	Datum		none = DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	Oid			types[4] = {TEXTOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZARRAYOID};
	Datum		values[4];
	DcCatalogWork work;

	for (Use *use = uses; use != NULL; use = use->next)
	{
		char	   *tenant = tenant_text(use);
		Datum		with = use->params != (Datum) 0 ? use->params : none;

		if (strlen(tenant) + VARSIZE_ANY(DatumGetPointer(with)) > MAX_USE_LEN)
			continue;
		accumArrayResult(tenants, CStringGetTextDatum(tenant), false, TEXTOID, CurrentMemoryContext);
		accumArrayResult(params, with, false, JSONBOID, CurrentMemoryContext);
		accumArrayResult(times, TimestampTzGetDatum(use->last_used_at), false,
						 TIMESTAMPTZOID, CurrentMemoryContext);
	}
	values[0] = CStringGetTextDatum(dashboard->name);
	values[1] = makeArrayResult(tenants, CurrentMemoryContext);
	values[2] = makeArrayResult(params, CurrentMemoryContext);
	values[3] = makeArrayResult(times, CurrentMemoryContext);

	dc_catalog_begin(&work);
	if (!dc_catalog_share_dashboard(dashboard->name))
	{
		dc_catalog_end(&work);
		return;
	}
	/* once an hour is enough: this is about days */
	dc_catalog_execute("INSERT INTO dashcache.use AS u (dashboard, tenant, params, last_used_at)"
					   " SELECT $1, t.tenant, t.params, max(t.at)"
					   " FROM unnest($2, $3, $4) t (tenant, params, at) GROUP BY t.tenant, t.params"
					   " ON CONFLICT (dashboard, tenant, params) DO UPDATE SET last_used_at = excluded.last_used_at"
					   " WHERE u.last_used_at < excluded.last_used_at - interval '1 hour'",
					   4, types, values, NULL);
	dc_catalog_execute("DELETE FROM dashcache.use u WHERE u.dashboard = $1"
					   " AND (u.last_used_at < now() - interval '" CppAsString2(USE_DAYS) " days'"
					   "  OR u.last_used_at < (SELECT l.last_used_at FROM dashcache.use l WHERE l.dashboard = $1"
					   "   ORDER BY l.last_used_at DESC OFFSET " CppAsString2(MAX_USES) " LIMIT 1))",
					   1, types, values, NULL);
	dc_catalog_end(&work);
}

/*-------------------------------------------------------------------------
 * Visits
 *-------------------------------------------------------------------------
 */

/*
 * Learn who came in the hour that begins at "hour": whose entries have been
 * used since.  To be called at its end.
 */
void
dc_visits_save(DcDashboard *dashboard, TimestampTz hour)
{
	Use		   *uses = uses_of(dashboard);
	ArrayBuildState *tenants = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	Oid			types[4] = {TEXTOID, TEXTARRAYOID, INT4OID, TIMESTAMPTZOID};
	Datum		values[4];
	DcCatalogWork work;

	for (Use *use = uses; use != NULL; use = use->next)
	{
		char	   *tenant;

		if (use->last_used_at < hour)
			continue;
		tenant = tenant_text(use);
		if (strlen(tenant) <= MAX_USE_LEN)
			accumArrayResult(tenants, CStringGetTextDatum(tenant), false,
							 TEXTOID, CurrentMemoryContext);
	}
	values[0] = CStringGetTextDatum(dashboard->name);
	values[1] = makeArrayResult(tenants, CurrentMemoryContext);
	values[2] = Int32GetDatum(dc_schedule_hour_of_week(hour) + 1);
	values[3] = TimestampTzGetDatum(hour);

	dc_catalog_begin(&work);
	if (!dc_catalog_share_dashboard(dashboard->name))
	{
		dc_catalog_end(&work);
		return;
	}
	dc_catalog_execute("UPDATE dashcache.visit v SET hours[$3] ="
					   " (SELECT CASE WHEN n.share < " CppAsString2(SMALLEST_SHARE) " THEN 0 ELSE n.share END"
					   "  FROM (VALUES (v.hours[$3] * (1 - 1 / least(floor(extract(epoch FROM $4 - v.since) / 604800) + 1, "
					   CppAsString2(VISIT_WEEKS) ")))) n (share))"
					   " WHERE v.dashboard = $1 AND v.hours[$3] > 0 AND v.since < $4 AND NOT v.tenant = ANY ($2)",
					   4, types, values, NULL);
	/* who has not come for months is forgotten */
	dc_catalog_execute("DELETE FROM dashcache.visit v WHERE v.dashboard = $1"
					   " AND v.hours = array_fill(0::real, ARRAY[168])",
					   1, types, values, NULL);
	dc_catalog_execute("INSERT INTO dashcache.visit AS v (dashboard, tenant, hours, since)"
					   " SELECT DISTINCT $1, t, array_fill(0::real, ARRAY[$3 - 1]) || 1::real || array_fill(0::real, ARRAY[168 - $3]), $4"
					   " FROM unnest($2) t"
					   " ON CONFLICT (dashboard, tenant) DO UPDATE SET hours[$3] = v.hours[$3] + (1 - v.hours[$3]) /"
					   "  least(floor(extract(epoch FROM $4 - v.since) / 604800) + 1, " CppAsString2(VISIT_WEEKS) ")",
					   4, types, values, NULL);
	dc_catalog_end(&work);
}

/* Call "reader" for the tenants that are expected in an hour of the week. */
void
dc_visits_expected(const char *dashboard, int hour_of_week,
				   DcTenantReader reader, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	DcCatalogWork work;
	Oid			types[3] = {TEXTOID, INT4OID, FLOAT4OID};
	Datum		values[3];
	uint64		n;

	values[0] = CStringGetTextDatum(dashboard);
	values[1] = Int32GetDatum(hour_of_week + 1);
	values[2] = Float4GetDatum(EXPECTED_SHARE);
	dc_catalog_begin(&work);
	n = dc_catalog_execute("SELECT tenant FROM dashcache.visit WHERE dashboard = $1 AND hours[$2] >= $3",
						   3, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *tenant = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(caller);

		reader(tenant, arg);
		MemoryContextSwitchTo(old);
	}
	dc_catalog_end(&work);
}
