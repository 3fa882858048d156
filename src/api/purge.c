/*-------------------------------------------------------------------------
 *
 * purge.c
 *		dashcache_purge().
 *
 * A purge is announced first, then the entries are removed.  An answer that
 * is being computed meanwhile finds the announcement when it is stored, and is
 * not; see read/answer_stamps.c.  This holds until the purging transaction
 * has ended, so that a purge that goes along with a change in one transaction
 * covers the change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"
#include "attempt.h"
#include "persist/restore.h"
#include "preload.h"
#include "read/answer_stamps.h"
#include "read/tenant.h"
#include "store/store.h"
#include "widget/acl.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dashcache_purge_text);
PG_FUNCTION_INFO_V1(dashcache_purge_bigint);
PG_FUNCTION_INFO_V1(dashcache_purge_uuid);
PG_FUNCTION_INFO_V1(dashcache_purge_array);

/* A widget whose entries go, and whose: NULL for all tenants. */
typedef struct Target
{
	uint32		widget;
	int			ntenants;		/* -1: all */
	bool		by_hash;		/* equal ones have the same hash; so may
								 * others */
	uint32	   *hashes;
	const char **tenants;
	uint32	   *lengths;
	Datum	   *values;			/* what the bytes of short types point to */
} Target;

typedef struct Targets
{
	Target	   *list;
	int			n;
} Targets;

static bool
is_target(const DcSharedEntry *entry, void *arg)
{
	const DcSharedDefinition *definition = dc_entry_definition(entry);
	const Targets *targets = arg;

	if (definition->database != MyDatabaseId)
		return false;
	for (int i = 0; i < targets->n; i++)
	{
		const Target *target = &targets->list[i];

		if (target->widget != definition->widget)
			continue;
		if (target->ntenants < 0)
			return true;
		for (int t = 0; t < target->ntenants; t++)
		{
			if (entry->tenant_hash == target->hashes[t] &&
				(target->by_hash ||
				 (entry->tenant_len == target->lengths[t] &&
				  memcmp(DC_ENTRY_TENANT(entry), target->tenants[t],
						 target->lengths[t]) == 0)))
				return true;
		}
	}
	return false;
}

static bool
has_tag(const DcWidget *widget, const char *tag)
{
	for (int i = 0; i < widget->ntags; i++)
	{
		if (strcmp(widget->tags[i], tag) == 0)
			return true;
	}
	return false;
}

/* A tenant on its way to the widget's type. */
typedef struct Conversion
{
	DcRequest  *request;
	DcWidget   *widget;
	Datum		tenant;
} Conversion;

static void
convert(void *arg)
{
	Conversion *conversion = arg;

	conversion->tenant = dc_tenant_of_request(conversion->request,
											  conversion->widget);
}

/*
 * The tenant, as the widget's type.  With "lenient" what is no value of that
 * type is just no tenant of that widget.
 */
static bool
convert_tenant(DcRequest *request, DcWidget *widget, bool lenient, Datum *tenant)
{
	Conversion	conversion = {request, widget};

	/* its type is gone: it has no entries */
	if (lenient && !OidIsValid(widget->tenant_type.input.fn_oid))
		return false;

	if (!lenient || request->tenant_type == widget->tenant_type.type)
		convert(&conversion);
	else
	{
		ErrorData  *error = dc_attempt(convert, &conversion);

		if (error != NULL)
		{
			int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

			if (category != ERRCODE_DATA_EXCEPTION &&
				category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
				ReThrowError(error);
			FreeErrorData(error);
			return false;
		}
	}
	*tenant = conversion.tenant;
	return true;
}

static void
set_tenants(Target *target, DcWidget *widget, const Datum *tenants,
			int ntenants, Oid type, bool lenient)
{
	int			n = 0;

	target->ntenants = ntenants;
	if (ntenants < 0)
		return;
	target->by_hash = widget->tenant_type.by_equality;
	target->hashes = palloc(sizeof(uint32) * Max(ntenants, 1));
	target->tenants = palloc(sizeof(char *) * Max(ntenants, 1));
	target->lengths = palloc(sizeof(uint32) * Max(ntenants, 1));
	target->values = palloc(sizeof(Datum) * Max(ntenants, 1));
	for (int i = 0; i < ntenants; i++)
	{
		DcRequest	request = {.tenant = tenants[i],.tenant_type = type};

		if (!convert_tenant(&request, widget, lenient, &target->values[n]))
			continue;
		target->lengths[n] = dc_tenant_bytes(&widget->tenant_type,
											 &target->values[n],
											 &target->tenants[n]);
		target->hashes[n] = dc_tenant_hash(&widget->tenant_type,
										   target->values[n],
										   target->tenants[n],
										   target->lengths[n]);
		n++;
	}
	target->ntenants = n;
}

/*
 * Purge what matches all that is given; NULL (or ntenants < 0) is not given.
 * Where no dashboard is given, those that the caller owns are meant.
 */
static int64
purge(const Datum *tenants, int ntenants, Oid type,
	  const char *dashboard_name, const char *widget_name, const char *tag)
{
	List	   *names = dashboard_name != NULL ?
	list_make1(unconstify(char *, dashboard_name)) : dc_catalog_dashboards();
	Targets		targets = {NULL, 0};
	List	   *purged = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		DcDashboard *dashboard = dc_metacache_dashboard(lfirst(lc));

		if (dashboard == NULL)
		{
			if (dashboard_name == NULL)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("dashboard \"%s\" does not exist", dashboard_name),
					 errhint("The view dashcache_stats lists them.")));
		}
		if (dashboard_name != NULL)
			dc_acl_check_owner(dashboard);
		else if (!dc_acl_is_owner(dashboard))
			continue;
		if (dashboard_name != NULL && widget_name != NULL)
			(void) dc_existing_widget(dashboard, widget_name);

		for (int i = 0; i < dashboard->nwidgets; i++)
		{
			DcWidget   *widget = &dashboard->widgets[i];

			if ((widget_name != NULL && strcmp(widget->name, widget_name) != 0) ||
				(tag != NULL && !has_tag(widget, tag)))
				continue;
			targets.list = targets.list == NULL ? palloc(sizeof(Target)) :
				repalloc(targets.list, sizeof(Target) * (targets.n + 1));
			targets.list[targets.n].widget = widget->id;
			set_tenants(&targets.list[targets.n], widget, tenants, ntenants, type,
						dashboard_name == NULL);
			targets.n++;
			purged = list_append_unique_ptr(purged, dashboard->name);
		}
	}

	/* where nothing can be stored there is nothing to purge */
	if (targets.n == 0 || !dc_preloaded || RecoveryInProgress())
		return 0;

	foreach(lc, purged)
		dc_purge_announce(lfirst(lc));
	/* what is still being read from before the start goes, too */
	dc_restore();
	return dc_store_remove(is_target, &targets);
}

static Datum
purge_one(FunctionCallInfo fcinfo, Oid type)
{
	Datum		tenant = PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0);

	PG_RETURN_INT64(purge(&tenant, PG_ARGISNULL(0) ? -1 : 1, type,
						  dc_argument_text(fcinfo, 1), dc_argument_text(fcinfo, 2),
						  dc_argument_text(fcinfo, 3)));
}

/*
 * dashcache_purge(tenant, dashboard, widget, tag): see COMMENT ON FUNCTION.
 * Three overloads for the type of the tenant, one for an array of them.
 */
Datum
dashcache_purge_text(PG_FUNCTION_ARGS)
{
	return purge_one(fcinfo, TEXTOID);
}

Datum
dashcache_purge_bigint(PG_FUNCTION_ARGS)
{
	return purge_one(fcinfo, INT8OID);
}

Datum
dashcache_purge_uuid(PG_FUNCTION_ARGS)
{
	return purge_one(fcinfo, UUIDOID);
}

Datum
dashcache_purge_array(PG_FUNCTION_ARGS)
{
	Datum	   *elements = NULL;
	int			n = -1;

	if (!PG_ARGISNULL(0))
	{
		bool	   *nulls;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false,
						  TYPALIGN_INT, &elements, &nulls, &n);
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("tenants must not contain nulls")));
		}
	}
	PG_RETURN_INT64(purge(elements, n, TEXTOID,
						  dc_argument_text(fcinfo, 1), dc_argument_text(fcinfo, 2),
						  dc_argument_text(fcinfo, 3)));
}
