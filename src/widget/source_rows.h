/*-------------------------------------------------------------------------
 *
 * source_rows.h
 *		Rows of dashcache.source, hop and dependency.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SOURCE_ROWS_H
#define DASHCACHE_SOURCE_ROWS_H

#include "postgres.h"

#include "widget/analyze.h"
#include "widget/catalog.h"

extern void dc_source_rows_write(uint32 widget, List *rows,
								 const DcAnalysis *analysis);
extern void dc_source_rows_clear(uint32 widget);
extern List *dc_source_rows_of(uint32 widget);
extern List *dc_source_rows_relations(uint32 widget);
extern bool dc_source_rows_use(Oid relid);

#endif							/* DASHCACHE_SOURCE_ROWS_H */
