/*-------------------------------------------------------------------------
 *
 * tenants.c
 *		For whom a dashboard is to be warmed.
 *
 * For the tenants that its tenants query lists, with the params that are
 * configured as variants; and for what is, or was, in use: the entries that
 * are there, and what dashcache.use remembers of the time before the server
 * was started (uses.c).
 *
 * Tenants are text here, since the widgets of a dashboard may take different
 * types.  What of that text depends on settings, such as dates, is written in the
 * way that is read alike under all of them; what the tenants query has made text
 * of is read under the settings that it ran under.  A tenant that somebody has
 * asked for is read under those of the widget.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/tenants.h"

#include "read/tenant.h"
#include "store/store.h"
#include "warm/uses.h"
#include "widget/catalog.h"
#include "widget/code.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

static void
add(DcTenantList *tenants, char *tenant)
{
	if (tenants->n == tenants->capacity)
	{
		tenants->capacity = Max(64, tenants->capacity * 2);
		tenants->list = tenants->list == NULL ?
			palloc(sizeof(char *) * tenants->capacity) :
			repalloc_huge(tenants->list, sizeof(char *) * tenants->capacity);
	}
	tenants->list[tenants->n++] = tenant;
}

static int
compare_tenants(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Keep each tenant once; returns how many went. */
static int64
make_unique(DcTenantList *tenants)
{
	int			kept = 0;
	int64		before = tenants->n;

	if (tenants->n == 0)
		return 0;
	qsort(tenants->list, tenants->n, sizeof(char *), compare_tenants);
	for (int i = 1; i < tenants->n; i++)
	{
		if (strcmp(tenants->list[i], tenants->list[kept]) != 0)
			tenants->list[++kept] = tenants->list[i];
	}
	tenants->n = kept + 1;
	return before - tenants->n;
}

static bool
is_one_select(SPIPlanPtr plan)
{
	List	   *sources = SPI_plan_get_plan_sources(plan);
	CachedPlanSource *source;
	Query	   *query;

	if (list_length(sources) != 1)
		return false;
	source = linitial(sources);
	if (list_length(source->query_list) != 1)
		return false;
	query = linitial_node(Query, source->query_list);
	return query->commandType == CMD_SELECT && !query->hasModifyingCTE &&
		query->rowMarks == NIL;
}

/*
 * Run a tenants query, as its owner, and add what it lists; the result is in
 * the current memory context.  Throws what the query throws, and refuses what
 * is not one SELECT of one column.  What it runs must belong to the roles; or,
 * with "admit", those are added to whom it belongs.
 */
void
dc_tenants_query(const char *query, Oid owner, const DcSettings *settings,
				 DcRoles *roles, bool admit, DcTenantList *tenants, DcTenantsFound *found)
{
	MemoryContext context = CurrentMemoryContext;
	DcAsOwner	work;
	SPIPlanPtr	plan;
	Portal		portal;
	List	   *code;

	found->nulls = 0;
	dc_owner_begin(&work, owner, settings);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (!admit)
		dc_code_check(dc_code_of_text(NIL, query), owner, roles);
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || !is_one_select(plan))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the tenants query must be one SELECT")));
	code = dc_code_of_plan(dc_code_of_text(NIL, query), plan);
	if (!admit)
		dc_code_check(code, owner, roles);
	else
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		dc_code_admit(code, roles);
		MemoryContextSwitchTo(old);
	}
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	if (portal->tupDesc == NULL || portal->tupDesc->natts != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the tenants query must return one column"),
				 errhint("For example 'SELECT id FROM companies'.")));
	do
	{
		int			nestlevel;

		SPI_cursor_fetch(portal, true, 1000);
		nestlevel = NewGUCNestLevel();
		dc_settings_pin_plain();
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			char	   *tenant = SPI_getvalue(SPI_tuptable->vals[i],
											  SPI_tuptable->tupdesc, 1);

			if (tenant == NULL)
				found->nulls++;
			else
			{
				MemoryContext old = MemoryContextSwitchTo(context);

				add(tenants, pstrdup(tenant));
				MemoryContextSwitchTo(old);
			}
		}
		AtEOXact_GUC(false, nestlevel);
		if (SPI_tuptable != NULL)
			SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
	dc_owner_end(&work);
	found->duplicates = make_unique(tenants);
}

/*-------------------------------------------------------------------------
 * What is in use
 *-------------------------------------------------------------------------
 */

static DcVariant *
variant_of(DcAudience *audience, Datum params)
{
	Jsonb	   *wanted = DatumGetJsonbP(params);
	DcVariant  *variant;

	for (int i = 0; i < audience->nvariants; i++)
	{
		Jsonb	   *given = DatumGetJsonbP(audience->variants[i].params);

		if (VARSIZE(given) == VARSIZE(wanted) &&
			memcmp(given, wanted, VARSIZE(given)) == 0)
			return &audience->variants[i];
	}
	audience->variants = audience->variants == NULL ?
		palloc(sizeof(DcVariant)) :
		repalloc(audience->variants, sizeof(DcVariant) * (audience->nvariants + 1));
	variant = &audience->variants[audience->nvariants++];
	memset(variant, 0, sizeof(*variant));
	variant->params = PointerGetDatum(wanted);
	return variant;
}

/* Something was in use; "params" is 0 for a widget that does not look at them. */
static void
add_use(const char *tenant, Datum params, void *arg)
{
	DcAudience *audience = arg;
	char	   *copy = pstrdup(tenant);

	add(&audience->plain, copy);
	if (params != (Datum) 0)
		add(&variant_of(audience, params)->tenants, copy);
}

static void
add_expected(const char *tenant, void *arg)
{
	add(arg, pstrdup(tenant));
}

/*
 * Find out for whom a dashboard is to be warmed; or only for one tenant, if it
 * is not NULL; or only for those expected in an hour of the week, if that is
 * not -1.  The result is in the current memory context.
 */
void
dc_tenants_audience(DcDashboard *dashboard, const char *one_tenant,
					int hour_of_week, DcAudience *audience)
{
	DcTenantList listed = {0};
	DcTenantsFound found;

	memset(audience, 0, sizeof(*audience));

	if (one_tenant != NULL)
		add(&listed, pstrdup(one_tenant));
	else if (hour_of_week >= 0)
		dc_visits_expected(dashboard->name, hour_of_week, add_expected, &listed);
	else
	{
		if (dashboard->tenants != NULL)
		{
			audience->settings = dc_settings_copy(&dashboard->tenants_settings);
			dc_tenants_query(dashboard->tenants, dashboard->owner,
							 audience->settings, &dashboard->tenants_roles, false,
							 &listed, &found);
		}
		dc_uses_each(dashboard, add_use, audience);
	}

	for (int i = 0; i < listed.n; i++)
		add(&audience->plain, listed.list[i]);
	for (int v = 0; v < Max(dashboard->nvariants, 1); v++)
	{
		Datum		params = dashboard->nvariants > 0 ? dashboard->variants[v] :
		dc_params_none();
		DcVariant  *variant = variant_of(audience, params);

		for (int i = 0; i < listed.n; i++)
			add(&variant->tenants, listed.list[i]);
	}

	(void) make_unique(&audience->plain);
	for (int v = 0; v < audience->nvariants; v++)
		(void) make_unique(&audience->variants[v].tenants);
}

/*
 * The tenants that a widget is to be warmed for, with the params of number
 * "variant"; NULL if there are no params of that number for it.
 */
const DcTenantList *
dc_tenants_of_widget(const DcAudience *audience, const DcWidget *widget,
					 int variant, Datum *params)
{
	if (!widget->uses_params)
	{
		*params = dc_params_none();
		return variant == 0 ? &audience->plain : NULL;
	}
	if (variant >= audience->nvariants)
		return NULL;
	*params = audience->variants[variant].params;
	return &audience->variants[variant].tenants;
}
