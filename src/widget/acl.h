/*-------------------------------------------------------------------------
 *
 * acl.h
 *		Who may do what: every permission question, and every refusal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ACL_H
#define DASHCACHE_ACL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "widget/metacache.h"

extern void dc_acl_check_read(const DcDashboard *dashboard);
extern void dc_acl_check_guard(const DcDashboard *dashboard, Datum tenant,
							   Oid tenant_type);
extern bool dc_acl_is_owner(const DcDashboard *dashboard);
extern List *dc_acl_dashboards(const char *name, Oid role);
extern void dc_acl_check_owner(const DcDashboard *dashboard);
extern void dc_acl_check_owns_any(void);
extern void dc_acl_check_source(Oid relid);

#endif							/* DASHCACHE_ACL_H */
