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

typedef enum DcTriggersState
{
	DC_TRIGGERS_ALWAYS,			/* both are there and always fire */
	DC_TRIGGERS_NOT_ALWAYS,		/* one does not fire for replication */
	DC_TRIGGERS_DISABLED,
	DC_TRIGGERS_MISSING
} DcTriggersState;

extern List *dc_install_plan(uint32 widget, DcAnalysis *analysis);
extern List *dc_install_relations(List *rows);
extern List *dc_install_family(Oid relid);
extern void dc_install_triggers(List *rows, List *old_rows);
extern DcTriggersState dc_install_triggers_on(Oid relid);
extern void dc_install_write(uint32 widget, List *rows,
							 const DcAnalysis *analysis);
extern void dc_install_clear(uint32 widget);
extern bool dc_install_complete(List *rows);
extern List *dc_install_rows_of(uint32 widget);
extern bool dc_install_same(List *a, List *b);
extern List *dc_install_sources_of(uint32 widget);
extern void dc_install_remove_unused(List *relids);
extern void dc_install_check_source(Oid relid);
extern void dc_install_check_expression(const char *expression, Oid source,
										const DcWidget *widget);

#endif							/* DASHCACHE_INSTALL_H */
