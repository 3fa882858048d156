/*-------------------------------------------------------------------------
 *
 * acl.c
 *		Who may do what: every permission question, and every refusal.
 *
 * A dashboard belongs to the role that first defined a widget of it.  Its
 * owner, whoever has the owner's privileges, and whoever it was granted to
 * may read it; only the former may change it.
 *
 * A dashboard may have a guard: a setting that has to hold the tenant asked for,
 * whoever asks, or, with guard_exempt_owner, whoever but the owner asks.
 *
 * The refusals name what was asked for and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/acl.h"

#include "hit_path.h"
#include "widget/catalog.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

/* May the current user do what only the owner may? */
DC_HIT_PATH bool
dc_acl_is_owner(const DcDashboard *dashboard)
{
	Oid			user = GetUserId();

	return user == dashboard->owner || has_privs_of_role(user, dashboard->owner);
}

/*
 * The dashboards whose owner's privileges a role has: all, or, unless "name" is
 * NULL, that one.
 */
List *
dc_acl_dashboards(const char *name, Oid role)
{
	List	   *names = name != NULL ? list_make1(unconstify(char *, name)) :
	dc_catalog_dashboards();
	List	   *own = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		DcDashboard *dashboard = dc_metacache_dashboard(lfirst(lc));

		if (dashboard != NULL && has_privs_of_role(role, dashboard->owner))
			own = lappend(own, dashboard);
	}
	return own;
}

/* Throw unless the current user may read the dashboard. */
DC_HIT_PATH void
dc_acl_check_read(const DcDashboard *dashboard)
{
	if (dc_acl_is_owner(dashboard))
		return;
	for (int i = 0; i < dashboard->ngrantees; i++)
	{
		/* InvalidOid stands for PUBLIC */
		if (dashboard->grantees[i] == InvalidOid ||
			has_privs_of_role(GetUserId(), dashboard->grantees[i]))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for dashboard \"%s\"", dashboard->name),
			 errhint("Its owner can allow it with dashcache_grant().")));
}

/* Is this the text of the tenant? */
static bool
is_text_of(const char *value, Datum tenant, Oid tenant_type)
{
	static const char digits[] = "0123456789abcdef";
	char		buffer[2 * UUID_LEN + 5];
	char	   *p = buffer;

	if (tenant_type == INT8OID)
	{
		StaticAssertStmt(sizeof(buffer) > MAXINT8LEN, "a bigint must fit");
		pg_lltoa(DatumGetInt64(tenant), buffer);
		return strcmp(value, buffer) == 0;
	}
	if (tenant_type == UUIDOID)
	{
		const pg_uuid_t *uuid = DatumGetUUIDP(tenant);

		for (int i = 0; i < UUID_LEN; i++)
		{
			if (i == 4 || i == 6 || i == 8 || i == 10)
				*p++ = '-';
			*p++ = digits[uuid->data[i] >> 4];
			*p++ = digits[uuid->data[i] & 15];
		}
		*p = '\0';
		return strcmp(value, buffer) == 0 || pg_strcasecmp(value, buffer) == 0;
	}
	Assert(tenant_type == TEXTOID);
	return strlen(value) == VARSIZE_ANY_EXHDR(DatumGetPointer(tenant)) &&
		memcmp(value, VARDATA_ANY(DatumGetPointer(tenant)), strlen(value)) == 0;
}

/*
 * Throw unless the dashboard's guard holds the tenant asked for, or there is
 * none, or it is not for the owner who asks.  "tenant" is text (not toasted),
 * bigint or uuid.  Called at each hit: where all is well nothing is allocated.
 */
DC_HIT_PATH void
dc_acl_check_guard(const DcDashboard *dashboard, Datum tenant, Oid tenant_type)
{
	const char *value;

	if (dashboard->guard == NULL ||
		(dashboard->guard_exempt_owner && dc_acl_is_owner(dashboard)))
		return;
	value = GetConfigOption(dashboard->guard, true, false);
	/* at the end of a transaction that has set it, a setting is left empty */
	if (value == NULL || value[0] == '\0' || !is_text_of(value, tenant, tenant_type))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for this tenant of dashboard \"%s\"", dashboard->name),
				 errdetail("The setting \"%s\" does not hold the tenant asked for.", dashboard->guard)));
}

/* Throw unless the current user may change the dashboard. */
void
dc_acl_check_owner(const DcDashboard *dashboard)
{
	if (!dc_acl_is_owner(dashboard))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of dashboard \"%s\"", dashboard->name)));
}

/* Throw unless there is a dashboard that the current user may change. */
void
dc_acl_check_owns_any(void)
{
	if (!superuser() && dc_acl_dashboards(NULL, GetUserId()) == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of a dashboard"),
				 errhint("dashcache_define() makes one.")));
}

/* Throw unless the current user may install triggers on a source. */
void
dc_acl_check_source(Oid relid)
{
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER);

	if (result != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", get_rel_name(relid)),
				 errdetail("Watching a table for changes needs the TRIGGER privilege on it.")));
}
