/*-------------------------------------------------------------------------
 *
 * define.c
 *		Defining, dropping and overriding.
 *
 * Everything here is transactional: rows in our tables, triggers on sources.
 * A definition gets a version, the transaction ID that made it, and entries
 * are kept by version; so that answers of an earlier definition, or of one
 * that was rolled back, are never found, whenever they were stored.
 *
 * Locking: definitions wait for each other on dashcache.widget (SHARE ROW
 * EXCLUSIVE), then lock their sources in the order of their OIDs (SHARE ROW
 * EXCLUSIVE, as CREATE TRIGGER does): when that is granted, no transaction is
 * left that has written to a source unnoticed, and every later one will read
 * the new definitions before its first write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/define.h"

#include "api/arguments.h"
#include "api/warm.h"
#include "consistency/stamp.h"
#include "demand.h"
#include "hit_path.h"
#include "preload.h"
#include "read/answer_stamps.h"
#include "stats.h"
#include "store/store.h"
#include "warm/cron.h"
#include "widget/acl.h"
#include "widget/analyze.h"
#include "widget/catalog.h"
#include "widget/describe.h"
#include "widget/metacache.h"
#include "widget/overrides.h"
#include "widget/redo.h"
#include "widget/role_use.h"
#include "widget/settings.h"
#include "widget/source_rows.h"
#include "widget/triggers.h"
#include "widget/verified.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_define);
PG_FUNCTION_INFO_V1(dashcache_drop);
PG_FUNCTION_INFO_V1(dashcache_watch);
PG_FUNCTION_INFO_V1(dashcache_unwatch);
PG_FUNCTION_INFO_V1(dashcache_grant);
PG_FUNCTION_INFO_V1(dashcache_revoke);
PG_FUNCTION_INFO_V1(dashcache_repair);

/*
 * Widgets that this transaction has defined anew or dropped: their earlier
 * entries go at its commit.
 */
typedef struct Outdated
{
	uint32		widget;
	uint64		version;		/* of the definition that stays; 0: none */
	bool		counters;		/* its counters begin anew, or end */
	int			level;			/* nesting of the transaction that did it */
	struct Outdated *next;
} Outdated;

static Outdated *outdated = NULL;

static bool
is_outdated(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	const Outdated *which = arg;

	return definition->database == MyDatabaseId &&
		definition->widget == which->widget &&
		definition->version != which->version;
}

/*
 * Announce what this transaction has replaced, and drop its entries at the
 * commit, where nothing may be thrown.
 */
DC_HIT_PATH void
dc_define_at_xact(XactEvent event)
{
	if (outdated == NULL)
		return;
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		dc_preloaded)
	{
		/* for who sees the commit before he hears of it */
		for (Outdated *which = outdated; which != NULL; which = which->next)
			dc_stamp_push(dc_definition_stamp(which->widget),
						  U64FromFullTransactionId(GetTopFullTransactionId()) |
						  DC_WRITER_UNVERSIONED);
	}
	if (event == XACT_EVENT_COMMIT && dc_preloaded)
	{
		for (Outdated *which = outdated; which != NULL; which = which->next)
		{
			(void) dc_store_remove(is_outdated, which);
			if (which->counters)
				dc_stats_release(MyDatabaseId, which->widget);
		}
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		outdated = NULL;		/* its memory goes with the transaction */
}

/* What a subtransaction has replaced is its parent's, or nobody's. */
void
dc_define_at_subxact(SubXactEvent event)
{
	int			level = GetCurrentTransactionNestLevel();
	Outdated  **link = &outdated;

	while (*link != NULL)
	{
		if ((*link)->level >= level && event == SUBXACT_EVENT_ABORT_SUB)
			*link = (*link)->next;
		else
		{
			if (event == SUBXACT_EVENT_COMMIT_SUB)
				(*link)->level = Min((*link)->level, level - 1);
			link = &(*link)->next;
		}
	}
}

/*
 * Have the entries of other versions dropped at the commit, and, with
 * "counters", the widget's counters given back.
 */
void
dc_define_outdated(uint32 widget, uint64 version, bool counters)
{
	Outdated   *which = MemoryContextAlloc(TopTransactionContext,
										   sizeof(Outdated));

	which->widget = widget;
	which->version = version;
	which->counters = counters;
	which->level = GetCurrentTransactionNestLevel();
	which->next = outdated;
	outdated = which;
}

static uint64
own_version(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionId());
}

/*-------------------------------------------------------------------------
 * dashcache_define()
 *-------------------------------------------------------------------------
 */

static void
check_interval(const Interval *interval, const char *what)
{
	Interval	zero = {0};

	if (interval != NULL &&
		DatumGetInt32(DirectFunctionCall2(interval_cmp,
										  IntervalPGetDatum(interval),
										  IntervalPGetDatum(&zero))) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", what)));
}

/* A ttl that leads beyond the end of time is refused here, not at each read. */
static void
check_ttl(Interval *ttl)
{
	if (ttl != NULL)
		(void) DirectFunctionCall2(timestamptz_pl_interval,
								   TimestampTzGetDatum(GetCurrentTimestamp() + 100 * USECS_PER_DAY * 365),
								   IntervalPGetDatum(ttl));
}

static void
check_choice(const char *given, const char *what, const char *const *choices,
			 const char *list)
{
	if (given == NULL)
		return;
	for (; *choices != NULL; choices++)
	{
		if (strcmp(given, *choices) == 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", what, given),
			 errhint("It is one of %s.", list)));
}

/*
 * dashcache_define(widget, query, dashboard, ttl, align, max_stale, result, tags)
 */
Datum
dashcache_define(PG_FUNCTION_ARGS)
{
	static const char *const aligns[] = {"minute", "hour", "day", "week", "month", NULL};
	static const char *const results[] = {"row", "rows", "value", NULL};
	char	   *name = dc_argument_name(fcinfo, 0, "widget");
	char	   *query = dc_argument_text(fcinfo, 1);
	char	   *dashboard_name = dc_argument_name(fcinfo, 2, "dashboard");
	Interval   *ttl = PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3);
	char	   *align = dc_argument_text(fcinfo, 4);
	Interval   *max_stale = PG_ARGISNULL(5) ? NULL : PG_GETARG_INTERVAL_P(5);
	char	   *result = dc_argument_text(fcinfo, 6);
	DcDashboard *dashboard;
	DcWidget   *old = NULL;
	DcSettings	settings;
	DcRoles		roles = {0};
	DcStanding	standing;
	DcAnalysis *analysis;
	DcCatalogWork work;
	List	   *old_sources = NIL;
	List	   *rows;
	ListCell   *lc;
	uint32		id;
	uint64		version;

	if (strcmp(name, "_meta") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("widget name \"_meta\" is reserved"),
				 errdetail("dashcache_get() gives that name to what it tells about an answer.")));
	if (query == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null")));
	if (max_stale == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("max_stale must not be null"),
				 errhint("'0' never serves what is no longer current.")));
	check_interval(ttl, "ttl");
	check_interval(max_stale, "max_stale");
	check_ttl(ttl);
	check_choice(align, "align", aligns, "minute, hour, day, week and month");
	check_choice(result, "result", results, "row, rows and value");
	if (!PG_ARGISNULL(7) && array_contains_nulls(PG_GETARG_ARRAYTYPE_P(7)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("tags must not be null")));

	dc_lock_definitions();
	dashboard = dc_metacache_dashboard(dashboard_name);
	if (dashboard != NULL)
	{
		dc_acl_check_owner(dashboard);
		old = dc_metacache_widget(dashboard, name);
		if (old != NULL)
		{
			dc_catalog_lock_widget(old->id);
			old_sources = dc_source_rows_relations(old->id);
		}
	}

	settings = dc_settings_capture();
	analysis = dc_redo_analysis(GetUserId(), &settings, query,
								&roles, &standing, true);
	if (result == NULL)
		result = analysis->one_row ? "row" : "rows";
	if (strcmp(result, "value") == 0 && analysis->ncolumns != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the query returns %d columns", analysis->ncolumns),
				 errhint("A widget with result => 'value' returns one column.")));

	version = own_version();
	dc_catalog_begin(&work);
	{
		Oid			types[20] = {TEXTOID, TEXTOID, OIDOID, TEXTOID, INTERVALOID,
			TEXTOID, INTERVALOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
		OIDOID, BOOLOID, BOOLOID, XID8OID, OIDOID, OIDOID, OIDOID, BOOLOID, REGROLEARRAYOID, INT8OID};
		Datum		values[20];
		char		nulls[20];
		bool		isnull;

		memset(nulls, ' ', sizeof(nulls));
		values[0] = CStringGetTextDatum(dashboard_name);
		values[1] = CStringGetTextDatum(name);
		values[2] = ObjectIdGetDatum(work.save_user);
		values[3] = CStringGetTextDatum(query);
		values[4] = IntervalPGetDatum(ttl);
		nulls[4] = ttl != NULL ? ' ' : 'n';
		values[5] = align == NULL ? (Datum) 0 : CStringGetTextDatum(align);
		nulls[5] = align != NULL ? ' ' : 'n';
		values[6] = IntervalPGetDatum(max_stale);
		values[7] = CStringGetTextDatum(result);
		values[8] = PG_ARGISNULL(7) ?
			PointerGetDatum(construct_empty_array(TEXTOID)) : PG_GETARG_DATUM(7);
		values[9] = dc_settings_to_array(&settings);
		values[10] = ObjectIdGetDatum(analysis->tenant_type);
		values[11] = BoolGetDatum(analysis->uses_params);
		values[12] = BoolGetDatum(analysis->uses_clock);
		values[13] = UInt64GetDatum(version);
		values[14] = ObjectIdGetDatum(analysis->tenant_equal);
		values[15] = ObjectIdGetDatum(analysis->tenant_hash);
		values[16] = ObjectIdGetDatum(analysis->tenant_collation);
		values[17] = BoolGetDatum(analysis->stable_functions != NIL);
		values[18] = dc_roles_to_array(&roles);
		values[19] = Int64GetDatum(dc_redo_standing(&roles, &standing));
		if (!OidIsValid(analysis->tenant_equal))
			nulls[14] = nulls[15] = nulls[16] = 'n';

		if (dashboard == NULL)
		{
			Oid			owner_types[2] = {TEXTOID, OIDOID};
			Datum		owner_values[2] = {values[0], values[2]};

			/*
			 * a restore has failed to bring the dashboard, and brought the
			 * rest
			 */
			if (dc_catalog_execute("SELECT FROM dashcache.widget WHERE dashboard = $1"
								   " UNION ALL SELECT FROM dashcache.grantee WHERE dashboard = $1"
								   " UNION ALL SELECT FROM dashcache.job WHERE dashboard = $1",
								   1, owner_types, owner_values, NULL) > 0)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("dashboard \"%s\" was restored in part", dashboard_name),
						 errdetail("Table dashcache.dashboard has no row for it, other tables have."),
						 errhint("Restore that table; the role that owns it has to be there.")));
			dc_catalog_execute("INSERT INTO dashcache.dashboard (name, owner) VALUES ($1, $2)",
							   2, owner_types, owner_values, NULL);
		}
		dc_catalog_execute("INSERT INTO dashcache.widget (dashboard, name, owner, query, ttl, align, max_stale,"
						   "  result, tags, settings, tenant_type, uses_params, uses_clock, version,"
						   "  tenant_equal, tenant_hash, tenant_collation, reads_unseen, roles, standing)"
						   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
						   " ON CONFLICT (dashboard, name) DO UPDATE SET"
						   "  owner = excluded.owner, roles = excluded.roles, standing = excluded.standing, query = excluded.query, ttl = excluded.ttl,"
						   "  align = excluded.align, max_stale = excluded.max_stale, result = excluded.result,"
						   "  tags = excluded.tags, settings = excluded.settings,"
						   "  tenant_type = excluded.tenant_type, uses_params = excluded.uses_params,"
						   "  uses_clock = excluded.uses_clock, version = excluded.version,"
						   "  tenant_equal = excluded.tenant_equal, tenant_hash = excluded.tenant_hash,"
						   "  problem = NULL, tenant_collation = excluded.tenant_collation, reads_unseen = excluded.reads_unseen"
						   " RETURNING id",
						   20, types, values, nulls);
		id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	}
	dc_catalog_end(&work);
	dc_catalog_changed();

	rows = dc_redo_sources(id, analysis);
	dc_verified_set(id, version);
	foreach(lc, dc_triggers_relations(rows))
		dc_acl_check_source(lfirst_oid(lc));
	dc_describe_widget(name, dashboard_name, analysis, rows);
	dc_triggers_remove_unused(old_sources);
	dc_role_use_tell();
	/* the ID may have been another widget's, before DROP EXTENSION */
	dc_define_outdated(id, version, old == NULL);
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 * dashcache_drop()
 *-------------------------------------------------------------------------
 */

/* The tables besides that of widgets whose rows belong to a dashboard. */
static const char *const parts[] = {"grantee", "job", "use", "visit"};

/* Drop a widget, or, if that is NULL, the dashboard.  Definitions are locked. */
void
dc_define_drop(const char *dashboard_name, const char *name)
{
	DcDashboard *dashboard = dc_existing_dashboard(dashboard_name);
	DcWidget   *widget = name == NULL ? NULL : dc_existing_widget(dashboard, name);
	List	   *sources = NIL;
	DcCatalogWork work;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	const char *nulls = name == NULL ? " n" : "  ";

	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		DcWidget   *each = &dashboard->widgets[i];

		if (widget == NULL || widget == each)
		{
			sources = list_concat_unique_oid(sources,
											 dc_source_rows_relations(each->id));
			dc_define_outdated(each->id, 0, true);
		}
	}

	values[0] = CStringGetTextDatum(dashboard_name);
	values[1] = name == NULL ? (Datum) 0 : CStringGetTextDatum(name);
	if (name == NULL)
		dc_unschedule_dashboard(dashboard_name);
	dc_catalog_begin(&work);
	/* waits for who adds something to it */
	if (name == NULL)
		dc_catalog_execute("DELETE FROM dashcache.dashboard WHERE name = $1",
						   1, types, values, NULL);
	dc_catalog_execute("DELETE FROM dashcache.override o USING dashcache.widget w"
					   " WHERE w.dashboard = $1 AND (w.name = $2 OR $2 IS NULL) AND o.widget = w.id",
					   2, types, values, nulls);
	dc_catalog_execute("DELETE FROM dashcache.widget WHERE dashboard = $1 AND (name = $2 OR $2 IS NULL)",
					   2, types, values, nulls);
	for (int i = 0; name == NULL && i < lengthof(parts); i++)
		dc_catalog_execute(psprintf("DELETE FROM dashcache.%s WHERE dashboard = $1", parts[i]),
						   1, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
	dc_triggers_remove_unused(sources);
	dc_role_use_tell();
}

/*
 * dashcache_drop(widget, dashboard)
 */
Datum
dashcache_drop(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(0) ? NULL : dc_argument_name(fcinfo, 0, "widget");
	char	   *dashboard_name = dc_argument_name(fcinfo, 1, "dashboard");

	dc_lock_definitions();
	dc_acl_check_owner(dc_existing_dashboard(dashboard_name));
	dc_define_drop(dashboard_name, name);
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 * dashcache_watch(), dashcache_unwatch()
 *-------------------------------------------------------------------------
 */

/* Give a widget a new version and find its sources again. */
static void
redo_widget(DcDashboard *dashboard, DcWidget *widget)
{
	List	   *old_sources = dc_source_rows_relations(widget->id);
	DcRoles		roles = dc_roles_copy(&widget->roles);
	DcStanding	standing;
	DcAnalysis *analysis = dc_redo_analysis(widget->owner, &widget->settings,
											widget->query, &roles, &standing, false);
	uint64		version = own_version();

	dc_redo_write_roles(widget->id, &roles, &standing);
	dc_describe_widget(widget->name, dashboard->name, analysis,
					   dc_redo_sources(widget->id, analysis));
	dc_redo_version(widget->id, version, NULL);
	dc_triggers_remove_unused(old_sources);
	dc_define_outdated(widget->id, version, false);
}

/*
 * dashcache_watch(widget, source, tenant, dashboard)
 */
Datum
dashcache_watch(PG_FUNCTION_ARGS)
{
	char	   *name = dc_argument_name(fcinfo, 0, "widget");
	char	   *tenant = dc_argument_text(fcinfo, 2);
	char	   *dashboard_name = dc_argument_name(fcinfo, 3, "dashboard");
	Oid			source;
	DcDashboard *dashboard;
	DcWidget   *widget;
	DcCatalogWork work;
	Oid			types[4] = {INT4OID, OIDOID, TEXTOID, OIDOID};
	Datum		values[4];

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source must not be null")));
	source = PG_GETARG_OID(1);

	dc_lock_definitions();
	dashboard = dc_existing_dashboard(dashboard_name);
	dc_acl_check_owner(dashboard);
	widget = dc_existing_widget(dashboard, name);
	dc_overrides_check_source(source);
	dc_acl_check_source(source);
	if (tenant != NULL && tenant[strspn(tenant, " \t\r\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tenant expression must not be empty"),
				 errhint("Leave it out if any change touches every tenant.")));
	if (tenant != NULL)
		dc_overrides_check_expression(tenant, source, widget);

	values[0] = Int32GetDatum(widget->id);
	values[1] = ObjectIdGetDatum(source);
	values[2] = tenant == NULL ? (Datum) 0 : CStringGetTextDatum(tenant);
	values[3] = ObjectIdGetDatum(GetUserId());
	dc_catalog_begin(&work);
	dc_catalog_execute("INSERT INTO dashcache.override (widget, source, tenant, role) VALUES ($1, $2, $3, $4)"
					   " ON CONFLICT (widget, source) DO UPDATE SET tenant = excluded.tenant, role = excluded.role",
					   4, types, values, tenant == NULL ? "  n " : "    ");
	dc_catalog_end(&work);
	redo_widget(dashboard, widget);
	dc_role_use_tell();
	PG_RETURN_VOID();
}

/*
 * dashcache_unwatch(widget, source, dashboard)
 */
Datum
dashcache_unwatch(PG_FUNCTION_ARGS)
{
	char	   *name = dc_argument_name(fcinfo, 0, "widget");
	char	   *dashboard_name = dc_argument_name(fcinfo, 2, "dashboard");
	DcDashboard *dashboard;
	DcWidget   *widget;
	DcCatalogWork work;
	Oid			types[2] = {INT4OID, OIDOID};
	Datum		values[2];
	uint64		found;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source must not be null")));

	dc_lock_definitions();
	dashboard = dc_existing_dashboard(dashboard_name);
	dc_acl_check_owner(dashboard);
	widget = dc_existing_widget(dashboard, name);

	values[0] = Int32GetDatum(widget->id);
	values[1] = PG_GETARG_DATUM(1);
	dc_catalog_begin(&work);
	found = dc_catalog_execute("DELETE FROM dashcache.override WHERE widget = $1 AND source = $2",
							   2, types, values, NULL);
	dc_catalog_end(&work);
	if (found == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("widget \"%s\" has no override for table %s",
						name, DatumGetCString(DirectFunctionCall1(regclassout,
																  PG_GETARG_DATUM(1)))),
				 errhint("dashcache_watch() makes one.")));
	redo_widget(dashboard, widget);
	dc_role_use_tell();
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 * dashcache_grant(), dashcache_revoke()
 *-------------------------------------------------------------------------
 */

static void
change_grant(FunctionCallInfo fcinfo, const char *sql)
{
	char	   *dashboard_name = dc_argument_name(fcinfo, 0, "dashboard");
	DcDashboard *dashboard;
	DcCatalogWork work;
	Oid			types[2] = {TEXTOID, OIDOID};
	Datum		values[2];

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("role must not be null"),
				 errhint("'-' stands for PUBLIC.")));

	dc_lock_definitions();
	dashboard = dc_existing_dashboard(dashboard_name);
	dc_acl_check_owner(dashboard);
	values[0] = CStringGetTextDatum(dashboard_name);
	values[1] = PG_GETARG_DATUM(1);
	dc_catalog_begin(&work);
	dc_catalog_execute(sql, 2, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
	dc_role_use_tell();
}

/*
 * dashcache_grant(dashboard, role)
 */
Datum
dashcache_grant(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "INSERT INTO dashcache.grantee (dashboard, role) VALUES ($1, $2) ON CONFLICT DO NOTHING");
	PG_RETURN_VOID();
}

/*
 * dashcache_revoke(dashboard, role)
 */
Datum
dashcache_revoke(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "DELETE FROM dashcache.grantee WHERE dashboard = $1 AND role = $2");
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 * dashcache_repair()
 *-------------------------------------------------------------------------
 */

/*
 * dashcache_repair(dashboard)
 */
Datum
dashcache_repair(PG_FUNCTION_ARGS)
{
	List	   *names;
	uint64		version;
	ListCell   *lc;

	dc_lock_definitions();
	names = PG_ARGISNULL(0) ? dc_catalog_dashboards() :
		list_make1(dc_argument_name(fcinfo, 0, "dashboard"));
	version = own_version();
	foreach(lc, names)
	{
		DcDashboard *dashboard = dc_existing_dashboard(lfirst(lc));

		if (PG_ARGISNULL(0) && !dc_acl_is_owner(dashboard))
			continue;
		dc_acl_check_owner(dashboard);
		for (int i = 0; i < dashboard->nwidgets; i++)
		{
			uint32		widget = dashboard->widgets[i].id;

			if (dc_redo_widget(widget, version, false, true))
				dc_define_outdated(widget, version, false);
		}
	}
	dc_role_use_tell();
	if (PG_ARGISNULL(0))
		dc_cron_make_lost(GetUserId());
	dc_demand_at_commit();
	PG_RETURN_VOID();
}
