/*-------------------------------------------------------------------------
 *
 * arguments.h
 *		Arguments that several functions have, and what they name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ARGUMENTS_H
#define DASHCACHE_ARGUMENTS_H

#include "postgres.h"

#include "fmgr.h"
#include "widget/metacache.h"

extern char *dc_argument_text(FunctionCallInfo fcinfo, int n);
extern char *dc_argument_name(FunctionCallInfo fcinfo, int n, const char *what);
extern char *dc_argument_tenant(FunctionCallInfo fcinfo, int n);
extern DcDashboard *dc_existing_dashboard(const char *name);
extern DcWidget *dc_existing_widget(DcDashboard *dashboard, const char *name);
extern void dc_lock_definitions(void);

#endif							/* DASHCACHE_ARGUMENTS_H */
