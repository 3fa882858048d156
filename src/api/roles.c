/*-------------------------------------------------------------------------
 *
 * roles.c
 *		What happens to roles: DROP OWNED, REASSIGN OWNED, new attributes and
 *		memberships.
 *
 * DROP OWNED takes along what a role owns of ours, and what it was granted;
 * REASSIGN OWNED gives it to another one.  DROP ROLE fails while there is any of
 * it (widget/role_use.c).  That a role has become another one, so to speak, is
 * told by nobody (widget/standing.c); who finds out asks for a worker, who looks
 * again at the widgets concerned.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/roles.h"

#include "api/arguments.h"
#include "api/ddl.h"
#include "api/define.h"
#include "api/warm.h"
#include "widget/catalog.h"
#include "widget/metacache.h"
#include "widget/role_use.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(dashcache_standing);
PG_FUNCTION_INFO_V1(dashcache_roles_changed);

/*
 * dashcache.standing(roles): what is taken down of roles with a widget.
 */
Datum
dashcache_standing(PG_FUNCTION_ARGS)
{
	DcRoles		roles = dc_roles_from_array(PG_GETARG_DATUM(0));

	PG_RETURN_INT64((int64) dc_standing_read(&roles).meaning);
}

/*
 * dashcache.roles_changed(): look again at the widgets whose roles have changed.
 */
Datum
dashcache_roles_changed(PG_FUNCTION_ARGS)
{
	dc_ddl_look_at("SELECT id FROM dashcache.widget WHERE standing <> dashcache.standing(roles)");
	PG_RETURN_VOID();
}

/* The OIDs of roles, as an array. */
static Datum
roles_of(List *specifications)
{
	Datum	   *roles = palloc(sizeof(Datum) * list_length(specifications));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, specifications)
		roles[n++] = ObjectIdGetDatum(get_rolespec_oid(lfirst(lc), false));
	return PointerGetDatum(construct_array(roles, n, OIDOID, sizeof(Oid), true,
										   TYPALIGN_INT));
}

static void
execute(const char *const *statements, int n, Datum roles, Oid new_role)
{
	Oid			types[2] = {OIDARRAYOID, OIDOID};
	Datum		values[2] = {roles, ObjectIdGetDatum(new_role)};
	DcCatalogWork work;

	dc_catalog_begin(&work);
	for (int i = 0; i < n; i++)
		dc_catalog_execute(statements[i], 2, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
}

/* After DROP OWNED: what the roles own of ours goes as well. */
void
dc_roles_drop_owned(List *specifications)
{
	static const char *const statements[] = {
		"DELETE FROM dashcache.grantee WHERE role = ANY ($1)",
		"DELETE FROM dashcache.override WHERE role = ANY ($1)",
		"UPDATE dashcache.widget SET roles = ARRAY(SELECT r FROM pg_catalog.unnest(roles) r WHERE r <> ALL ($1))"
		" WHERE roles && $1::pg_catalog.regrole[]",
		"UPDATE dashcache.dashboard SET tenants_roles = ARRAY(SELECT r FROM pg_catalog.unnest(tenants_roles) r WHERE r <> ALL ($1))"
		" WHERE tenants_roles && $1::pg_catalog.regrole[]"
	};
	Datum		roles = roles_of(specifications);
	Oid		   *oids = (Oid *) ARR_DATA_PTR(DatumGetArrayTypeP(roles));
	int			n = list_length(specifications);
	ListCell   *lc;

	dc_lock_definitions();
	foreach(lc, dc_catalog_dashboards())
	{
		DcDashboard *dashboard = dc_metacache_dashboard(lfirst(lc));
		List	   *widgets = NIL;
		ListCell   *lc2;
		bool		all = false;

		if (dashboard == NULL)
			continue;
		for (int r = 0; r < n; r++)
		{
			all |= dashboard->owner == oids[r];
			for (int i = 0; i < dashboard->nwidgets; i++)
			{
				if (dashboard->widgets[i].owner == oids[r])
					widgets = lappend(widgets, dashboard->widgets[i].name);
			}
		}
		if (all)
			dc_define_drop(dashboard->name, NULL);
		else
		{
			foreach(lc2, widgets)
				dc_define_drop(dashboard->name, lfirst(lc2));
		}
	}
	for (int r = 0; r < n; r++)
		dc_unschedule_role(oids[r]);
	execute(statements, lengthof(statements), roles, InvalidOid);
	dc_role_use_tell();
}

/* After REASSIGN OWNED: what the roles own of ours is another one's. */
void
dc_roles_reassigned(Node *command)
{
	ReassignOwnedStmt *statement = (ReassignOwnedStmt *) command;
	static const char *const statements[] = {
		"UPDATE dashcache.dashboard SET owner = $2,"
		"  tenants_roles = CASE WHEN tenants_roles && $1::pg_catalog.regrole[]"
		"   THEN $2::pg_catalog.regrole || ARRAY(SELECT r FROM pg_catalog.unnest(tenants_roles) r WHERE r <> ALL ($1)) ELSE tenants_roles END"
		" WHERE owner = ANY ($1)",
		"UPDATE dashcache.widget SET owner = $2,"
		"  roles = $2::pg_catalog.regrole || ARRAY(SELECT r FROM pg_catalog.unnest(roles) r WHERE r <> ALL ($1))"
		" WHERE owner = ANY ($1)",
		"UPDATE dashcache.override SET role = $2 WHERE role = ANY ($1)",
		"UPDATE dashcache.job SET role = $2 WHERE role = ANY ($1)"
	};

	if (!dc_ddl_have_tables())
		return;
	dc_lock_definitions();
	execute(statements, lengthof(statements), roles_of(statement->roles),
			get_rolespec_oid(statement->newrole, false));
	dc_role_use_tell();
	/* the sources may be another role's now, too */
	dc_ddl_look_at("SELECT widget FROM dashcache.verified");
}
