/*-------------------------------------------------------------------------
 *
 * metacache.c
 *		What this backend knows of dashboards, widgets and sources.
 *
 * A hit must not touch a catalog, so each backend keeps the definitions it
 * uses.  They are read again after anything that changes them has committed:
 * dc_catalog_changed() sends a relation-cache invalidation for
 * dashcache.widget, and the callback here makes everything kept obsolete by
 * counting up a generation.  Dashboards are kept until the end of the
 * transaction in which they were found obsolete, since a caller further up may
 * be using them.
 *
 * Locking: none; all is the backend's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/metacache.h"

#include "attempt.h"
#include "demand.h"
#include "hit_path.h"
#include "preload.h"
#include "widget/catalog.h"
#include "widget/code.h"
#include "widget/definers.h"
#include "widget/redo.h"
#include "widget/verified.h"

#include "access/htup_details.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* An element of "dashboards". */
typedef struct DashboardSlot
{
	char		name[NAMEDATALEN];
	DcDashboard *dashboard;
} DashboardSlot;

static DC_HIT_DATA HTAB *dashboards = NULL;

/* The one of them that was asked for last. */
static DC_HIT_DATA DcDashboard *latest = NULL;
static MemoryContext kept = NULL;

/* Dashboards that are obsolete and not yet freed. */
static List *obsolete = NIL;

/* Counts what has made everything obsolete. */
static DC_HIT_DATA uint64 generation = 1;
static DC_HIT_DATA uint64 dashboards_generation = 0;
static DC_HIT_DATA Oid widget_relid = InvalidOid;

static void
relation_changed(Datum arg, Oid relid)
{
	dc_code_changed();

	/* InvalidOid: everything; before the first look-up nothing is kept */
	if (relid == InvalidOid || relid == widget_relid)
	{
		generation++;
		/* the extension may have been dropped, and be made again */
		widget_relid = InvalidOid;
	}
}

/* Set up; once in each process. */
void
dc_metacache_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	dc_standing_init();
	dc_code_init();
}

/* The generation of what has been read; differs after any change. */
DC_HIT_PATH uint64
dc_metacache_generation(void)
{
	if (unlikely(!OidIsValid(widget_relid)))
		widget_relid = dc_catalog_relid(DC_TABLE_WIDGET);
	return generation;
}

static void
free_dashboard(DcDashboard *dashboard)
{
	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		dc_code_forget_plan(&dashboard->widgets[i].plan);
	}
	MemoryContextDelete(dashboard->context);
}

/* At the end of a transaction nobody uses a dashboard any more. */
DC_HIT_PATH void
dc_metacache_at_xact(XactEvent event)
{
	ListCell   *lc;

	if (obsolete == NIL ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		 event != XACT_EVENT_PREPARE))
		return;

	foreach(lc, obsolete)
		free_dashboard(lfirst(lc));
	list_free(obsolete);
	obsolete = NIL;
}

/* Make everything kept obsolete, and begin anew. */
static void
forget_all(void)
{
	HASHCTL		ctl = {
		.keysize = NAMEDATALEN,
		.entrysize = sizeof(DashboardSlot)
	};

	latest = NULL;
	if (kept == NULL)
		kept = AllocSetContextCreate(TopMemoryContext, "dashcache definitions",
									 ALLOCSET_SMALL_SIZES);
	if (dashboards != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(kept);
		HASH_SEQ_STATUS status;
		DashboardSlot *slot;

		hash_seq_init(&status, dashboards);
		while ((slot = hash_seq_search(&status)) != NULL)
			obsolete = lappend(obsolete, slot->dashboard);
		MemoryContextSwitchTo(old);
		hash_destroy(dashboards);
		dashboards = NULL;
	}
	ctl.hcxt = kept;
	dashboards = hash_create("dashcache dashboards", 16, &ctl,
							 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/*-------------------------------------------------------------------------
 * Reading
 *-------------------------------------------------------------------------
 */

typedef struct Load
{
	DcDashboard *dashboard;
	DcWidget   *widget;
	MemoryContext context;
	int			capacity;
	bool		found;
} Load;

/* An array of objects; dashcache_configure() has checked that. */
static void
read_variants(DcDashboard *dashboard, Jsonb *array)
{
	int			n = JsonContainerSize(&array->root);

	dashboard->variants = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
		dashboard->variants[dashboard->nvariants++] =
			PointerGetDatum(JsonbValueToJsonb(getIthJsonbValueFromContainer(&array->root, i)));
}

static void
read_dashboard(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcDashboard *dashboard = load->dashboard;
	MemoryContext old = MemoryContextSwitchTo(load->context);
	Datum		value[DC_DASHBOARD_TENANTS_ROLES + 1];
	bool		null[DC_DASHBOARD_TENANTS_ROLES + 1];

	for (int i = 1; i <= DC_DASHBOARD_TENANTS_ROLES; i++)
		value[i] = heap_getattr(tuple, i, desc, &null[i]);

	load->found = true;
	dashboard->owner = DatumGetObjectId(value[DC_DASHBOARD_OWNER]);
	if (!null[DC_DASHBOARD_TENANTS])
	{
		dashboard->tenants = TextDatumGetCString(value[DC_DASHBOARD_TENANTS]);
		dashboard->tenants_settings =
			dc_settings_from_array(value[DC_DASHBOARD_TENANTS_SETTINGS]);
	}
	if (!null[DC_DASHBOARD_VARIANTS])
		read_variants(dashboard, DatumGetJsonbP(value[DC_DASHBOARD_VARIANTS]));
	if (!null[DC_DASHBOARD_GUARD])
		dashboard->guard = TextDatumGetCString(value[DC_DASHBOARD_GUARD]);
	dashboard->warm_on_start = DatumGetBool(value[DC_DASHBOARD_WARM_ON_START]);
	dashboard->warm_on_change = DatumGetBool(value[DC_DASHBOARD_WARM_ON_CHANGE]);
	if (!null[DC_DASHBOARD_MEMORY_LIMIT])
		dashboard->memory_limit = (Size) DatumGetInt32(value[DC_DASHBOARD_MEMORY_LIMIT]) * 1024;
	dashboard->guard_exempt_owner = DatumGetBool(value[DC_DASHBOARD_GUARD_EXEMPT_OWNER]);
	if (!null[DC_DASHBOARD_TENANTS_ROLES])
		dashboard->tenants_roles = dc_roles_from_array(value[DC_DASHBOARD_TENANTS_ROLES]);
	MemoryContextSwitchTo(old);
}

static void
read_grantee(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcDashboard *dashboard = load->dashboard;
	MemoryContext old = MemoryContextSwitchTo(load->context);
	bool		null;

	if (dashboard->grantees == NULL)
		dashboard->grantees = palloc(sizeof(Oid));
	else
		dashboard->grantees = repalloc(dashboard->grantees,
									   sizeof(Oid) * (dashboard->ngrantees + 1));
	dashboard->grantees[dashboard->ngrantees++] =
		DatumGetObjectId(heap_getattr(tuple, DC_GRANTEE_ROLE, desc, &null));
	MemoryContextSwitchTo(old);
}

static DcAlign
align_of(const char *name)
{
	if (strcmp(name, "minute") == 0)
		return DC_ALIGN_MINUTE;
	if (strcmp(name, "hour") == 0)
		return DC_ALIGN_HOUR;
	if (strcmp(name, "day") == 0)
		return DC_ALIGN_DAY;
	if (strcmp(name, "week") == 0)
		return DC_ALIGN_WEEK;
	return DC_ALIGN_MONTH;
}

static char **
read_text_array(Datum value, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	char	  **result;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, n);
	result = palloc(sizeof(char *) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
		result[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(elements[i]);
	return result;
}

static void
read_tenant_type(DcTenantType *type, Oid oid, MemoryContext context)
{
	Oid			function;
	bool		varlena;
	char		kind;

	type->type = oid;
	/* the type may be gone, and the widget broken by that */
	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(oid)))
		return;
	kind = get_typtype(oid);
	type->calls_others = kind == TYPTYPE_DOMAIN || kind == TYPTYPE_COMPOSITE ||
		kind == TYPTYPE_RANGE || kind == TYPTYPE_MULTIRANGE ||
		OidIsValid(get_element_type(oid));
	get_typlenbyval(oid, &type->len, &type->byval);
	getTypeInputInfo(oid, &function, &type->ioparam);
	type->reads_settings = func_volatile(function) != PROVOLATILE_IMMUTABLE;
	fmgr_info_cxt(function, &type->input, context);
	getTypeOutputInfo(oid, &function, &varlena);
	fmgr_info_cxt(function, &type->output, context);
}

static bool
interval_is_zero(const Interval *interval)
{
	return interval->time == 0 && interval->day == 0 && interval->month == 0;
}

/* An interval in microseconds, by the lengths that comparisons give it. */
static int64
interval_us(const Interval *interval)
{
	double		us = interval->time +
	((double) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;

	/* bounded, so that it can be taken from any time */
	return (int64) Min(us, 4e18);
}

typedef struct TypeSearch
{
	const DcWidget *widget;
	Oid			type;
} TypeSearch;

static void
analyze_tenant_type(void *arg)
{
	TypeSearch *search = arg;
	DcRoles		roles = dc_roles_copy(&search->widget->roles);
	DcStanding	standing;

	search->type = dc_redo_analysis(search->widget->owner, &search->widget->settings,
									search->widget->query, &roles, &standing, false)->tenant_type;
}

/*
 * What the tenant's type is, for a widget that was not looked at here: the OID
 * that comes with it may be another type's.  Where the query fails its own error
 * is to come to who runs it.
 */
static Oid
find_tenant_type(const DcWidget *widget)
{
	TypeSearch	search = {.widget = widget,.type = TEXTOID};
	ErrorData  *error = dc_attempt(analyze_tenant_type, &search);

	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return search.type;
}

static void
read_widget(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcDashboard *dashboard = load->dashboard;
	MemoryContext old = MemoryContextSwitchTo(load->context);
	DcWidget   *widget;
	Datum		value[DC_WIDGET_STANDING + 1];
	bool		null[DC_WIDGET_STANDING + 1];
	StringInfoData json_name;
	char	   *result;
	bool		verified;

	if (dashboard->nwidgets == load->capacity)
	{
		load->capacity = Max(8, load->capacity * 2);
		dashboard->widgets = dashboard->widgets == NULL ?
			palloc(sizeof(DcWidget) * load->capacity) :
			repalloc(dashboard->widgets, sizeof(DcWidget) * load->capacity);
	}
	widget = &dashboard->widgets[dashboard->nwidgets++];
	memset(widget, 0, sizeof(*widget));

	for (int i = 1; i <= DC_WIDGET_STANDING; i++)
		value[i] = heap_getattr(tuple, i, desc, &null[i]);

	widget->id = DatumGetInt32(value[DC_WIDGET_ID]);
	widget->name = TextDatumGetCString(value[DC_WIDGET_NAME]);
	widget->name_len = strlen(widget->name);
	initStringInfo(&json_name);
	escape_json(&json_name, widget->name);
	appendStringInfoChar(&json_name, ':');
	widget->json_name = json_name.data;
	widget->json_name_len = json_name.len;
	widget->version = DatumGetUInt64(value[DC_WIDGET_VERSION]);
	widget->owner = DatumGetObjectId(value[DC_WIDGET_OWNER]);
	widget->query = TextDatumGetCString(value[DC_WIDGET_QUERY]);
	widget->has_ttl = !null[DC_WIDGET_TTL];
	if (widget->has_ttl)
	{
		widget->ttl = *DatumGetIntervalP(value[DC_WIDGET_TTL]);
		widget->never_cached = interval_is_zero(&widget->ttl);
	}
	widget->max_stale_us = interval_us(DatumGetIntervalP(value[DC_WIDGET_MAX_STALE]));
	if (!null[DC_WIDGET_ALIGN])
		widget->align = align_of(TextDatumGetCString(value[DC_WIDGET_ALIGN]));
	result = TextDatumGetCString(value[DC_WIDGET_RESULT]);
	widget->result = strcmp(result, "row") == 0 ? DC_RESULT_ROW :
		strcmp(result, "value") == 0 ? DC_RESULT_VALUE : DC_RESULT_ROWS;
	widget->tags = read_text_array(value[DC_WIDGET_TAGS], &widget->ntags);

	widget->settings = dc_settings_from_array(value[DC_WIDGET_SETTINGS]);
	widget->roles = dc_roles_from_array(value[DC_WIDGET_ROLES]);
	widget->standing = (uint64) DatumGetInt64(value[DC_WIDGET_STANDING]);
	verified = dc_verified(widget->id, widget->version);
	read_tenant_type(&widget->tenant_type,
					 verified ? DatumGetObjectId(value[DC_WIDGET_TENANT_TYPE]) :
					 find_tenant_type(widget),
					 load->context);
	widget->tenant_type.by_equality = verified && !null[DC_WIDGET_TENANT_EQUAL] &&
		OidIsValid(widget->tenant_type.input.fn_oid);
	if (widget->tenant_type.by_equality)
	{
		fmgr_info_cxt(DatumGetObjectId(value[DC_WIDGET_TENANT_EQUAL]),
					  &widget->tenant_type.equal, load->context);
		fmgr_info_cxt(DatumGetObjectId(value[DC_WIDGET_TENANT_HASH]),
					  &widget->tenant_type.hash, load->context);
		widget->tenant_type.collation =
			DatumGetObjectId(value[DC_WIDGET_TENANT_COLLATION]);
	}
	widget->uses_params = DatumGetBool(value[DC_WIDGET_USES_PARAMS]);
	widget->uses_clock = DatumGetBool(value[DC_WIDGET_USES_CLOCK]);
	widget->broken = !verified || !null[DC_WIDGET_PROBLEM] ||
		!OidIsValid(widget->tenant_type.input.fn_oid);
	widget->untracked = DatumGetBool(value[DC_WIDGET_READS_UNSEEN]);
	if (!verified)
		dc_demand_repair(GetCurrentTimestamp());
	if (dc_preloaded)
		widget->stats = dc_stats_get(MyDatabaseId, widget->id);
	MemoryContextSwitchTo(old);
}

/* The first of a widget's watches that hashes tenants as this one does. */
static int
first_with_hash(const DcWidget *widget, const DcWatch *watch)
{
	int			i = 0;

	while (!widget->watches[i].keyed ||
		   widget->watches[i].tenant_hash.fn_oid != watch->tenant_hash.fn_oid ||
		   widget->watches[i].collation != watch->collation)
		i++;
	return i;
}

static void
read_source(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Load	   *load = arg;
	DcWidget   *widget = load->widget;
	MemoryContext old = MemoryContextSwitchTo(load->context);
	DcSourceRow row;
	DcWatch    *watch;

	dc_catalog_source_row(tuple, desc, &row);
	if (row.source.invalidation == DC_INVALIDATION_TTL)
		widget->untracked = true;
	else
	{
		widget->watches = widget->watches == NULL ?
			palloc(sizeof(DcWatch)) :
			repalloc(widget->watches, sizeof(DcWatch) * (widget->nwatches + 1));
		watch = &widget->watches[widget->nwatches++];
		memset(watch, 0, sizeof(*watch));
		watch->hash = dc_catalog_watch_hash(&row);
		watch->relid = row.source.relid;
		watch->inherits = get_rel_relispartition(watch->relid) ||
			has_superclass(watch->relid);
		watch->keyed = row.source.invalidation == DC_INVALIDATION_ROW;
		if (watch->keyed && !widget->broken)
			fmgr_info_cxt(row.source.tenant_hash, &watch->tenant_hash,
						  load->context);
		watch->collation = row.source.collation;
		if (watch->keyed)
			watch->same_hash = first_with_hash(widget, watch);
	}
	MemoryContextSwitchTo(old);
}

static int
compare_widgets(const void *a, const void *b)
{
	uint32		ida = ((const DcWidget *) a)->id;
	uint32		idb = ((const DcWidget *) b)->id;

	return ida < idb ? -1 : ida > idb ? 1 : 0;
}

static DcDashboard *
load_dashboard(const char *name)
{
	Load		load = {0};
	DcDashboard *dashboard;
	Datum		key = CStringGetTextDatum(name);

	/* in a context that goes with the transaction, until all is read */
	load.context = AllocSetContextCreate(CurrentMemoryContext,
										 "dashcache dashboard",
										 ALLOCSET_SMALL_SIZES);
	dashboard = MemoryContextAllocZero(load.context, sizeof(DcDashboard));
	strlcpy(dashboard->name, name, NAMEDATALEN);
	dashboard->name_len = strlen(dashboard->name);
	dashboard->context = load.context;
	load.dashboard = dashboard;

	dc_catalog_scan(DC_TABLE_DASHBOARD, DC_DASHBOARD_NAME, TEXTOID, key,
					read_dashboard, &load);
	if (!load.found)
	{
		MemoryContextDelete(load.context);
		return NULL;
	}
	dc_catalog_scan(DC_TABLE_GRANTEE, DC_GRANTEE_DASHBOARD, TEXTOID, key,
					read_grantee, &load);
	dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_DASHBOARD, TEXTOID, key,
					read_widget, &load);
	if (dashboard->nwidgets > 1)
		qsort(dashboard->widgets, dashboard->nwidgets, sizeof(DcWidget),
			  compare_widgets);
	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		load.widget = &dashboard->widgets[i];
		dc_catalog_scan(DC_TABLE_SOURCE, DC_SOURCE_WIDGET, INT4OID,
						Int32GetDatum(load.widget->id), read_source, &load);
	}
	return dashboard;
}

static DcDashboard *
other_than_latest(const char *text, Size len)
{
	char		name[NAMEDATALEN];
	DcDashboard *dashboard;
	DashboardSlot *slot;
	uint64		read_generation;

	if (len >= NAMEDATALEN)
		return NULL;
	memcpy(name, text, len);
	name[len] = '\0';
	slot = hash_search(dashboards, name, HASH_FIND, NULL);
	if (slot != NULL)
		return latest = slot->dashboard;

	read_generation = dc_metacache_generation();
	dashboard = load_dashboard(name);
	if (dashboard == NULL)
		return NULL;

	/*
	 * Keep it, even if it was changed while it was read: that has changed the
	 * generation, and makes the next call read it again.
	 */
	MemoryContextSetParent(dashboard->context, kept);
	if (read_generation != dc_metacache_generation())
	{
		MemoryContext old = MemoryContextSwitchTo(kept);

		obsolete = lappend(obsolete, dashboard);
		MemoryContextSwitchTo(old);
		return dashboard;
	}
	slot = hash_search(dashboards, name, HASH_ENTER, NULL);
	slot->dashboard = dashboard;
	return dashboard;
}

/*
 * The dashboard of that name, of "len" bytes, or NULL.  Stays valid until the
 * end of the transaction.  Reads the catalog only if it has changed.
 */
DC_HIT_PATH DcDashboard *
dc_metacache_dashboard_n(const char *name, Size len)
{
	dc_definers_hear();

	if (dashboards == NULL || dashboards_generation != dc_metacache_generation())
	{
		forget_all();
		dashboards_generation = dc_metacache_generation();
	}

	/* sessions tend to ask for the same dashboard again and again */
	if (latest != NULL && latest->name_len == len &&
		memcmp(latest->name, name, len) == 0)
		return latest;
	return other_than_latest(name, len);
}

/* The same, for a string. */
DcDashboard *
dc_metacache_dashboard(const char *name)
{
	return dc_metacache_dashboard_n(name, strlen(name));
}

static void
read_dashboard_name(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;

	*(char **) arg = TextDatumGetCString(heap_getattr(tuple, DC_WIDGET_DASHBOARD,
													  desc, &isnull));
}

/* The dashboard that a widget belongs to, or NULL.  Reads the catalog. */
DcDashboard *
dc_metacache_dashboard_of(uint32 widget)
{
	char	   *name = NULL;

	dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
					Int32GetDatum(widget), read_dashboard_name, &name);
	return name == NULL ? NULL : dc_metacache_dashboard(name);
}

/* The widget with that ID, or NULL. */
DcWidget *
dc_metacache_widget_by_id(DcDashboard *dashboard, uint32 id)
{
	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		if (dashboard->widgets[i].id == id)
			return &dashboard->widgets[i];
	}
	return NULL;
}

/* The widget of that name, of "len" bytes, or NULL. */
DC_HIT_PATH DcWidget *
dc_metacache_widget_n(DcDashboard *dashboard, const char *name, Size len)
{
	for (int i = 0; i < dashboard->nwidgets; i++)
	{
		DcWidget   *widget = &dashboard->widgets[i];

		if (widget->name_len == len && memcmp(widget->name, name, len) == 0)
			return widget;
	}
	return NULL;
}

/* The same, for a string. */
DcWidget *
dc_metacache_widget(DcDashboard *dashboard, const char *name)
{
	return dc_metacache_widget_n(dashboard, name, strlen(name));
}

/*
 * Are the roles that have a part in a widget's query what they were when it was
 * last looked at?  Reads the catalogs if any role has changed.
 */
DC_HIT_PATH bool
dc_metacache_standing_same(DcWidget *widget)
{
	uint64		now = dc_standing_generation();

	if (unlikely(widget->standing_checked != now))
	{
		widget->standing_same =
			dc_standing_read(&widget->roles).meaning == widget->standing;
		widget->standing_checked = now;
		/* a worker looks at it again, once for all sessions that find out */
		if (!widget->standing_same && dc_preloaded)
			(void) dc_demand(MyDatabaseId, DC_DEMAND_ROLES);
	}
	return widget->standing_same;
}
