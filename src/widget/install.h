/*-------------------------------------------------------------------------
 *
 * install.h
 *		Putting a widget's sources under watch.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_INSTALL_H
#define DASHCACHE_INSTALL_H

#include "postgres.h"

#include "widget/analyze.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

#define DC_TRIGGER_ROW			"dashcache_row"
#define DC_TRIGGER_STATEMENT	"dashcache_statement"

extern List *dc_install_plan(uint32 widget, DcAnalysis *analysis,
							 const DcSettings *settings);
extern void dc_install_write(uint32 widget, List *rows);
extern void dc_install_triggers(List *rows);
extern void dc_install_notice(const char *widget, const char *dashboard,
							  const DcAnalysis *analysis, List *rows);
extern List *dc_install_sources_of(uint32 widget);
extern void dc_install_remove_unused(List *relids);
extern void dc_install_check_source(Oid relid);
extern void dc_install_check_expression(const char *expression, Oid source,
										const DcWidget *widget);

#endif							/* DASHCACHE_INSTALL_H */
