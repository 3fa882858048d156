/*-------------------------------------------------------------------------
 *
 * overrides.h
 *		What is watched, as found or as told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_OVERRIDES_H
#define DASHCACHE_OVERRIDES_H

#include "postgres.h"

#include "widget/analyze.h"
#include "widget/catalog.h"
#include "widget/metacache.h"

extern List *dc_overrides_apply(uint32 widget, DcAnalysis *analysis);
extern void dc_overrides_check_source(Oid relid);
extern void dc_overrides_check_expression(const char *expression, Oid source,
										  const DcWidget *widget);

#endif							/* DASHCACHE_OVERRIDES_H */
