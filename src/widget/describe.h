/*-------------------------------------------------------------------------
 *
 * describe.h
 *		Saying what is watched, in words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DESCRIBE_H
#define DASHCACHE_DESCRIBE_H

#include "postgres.h"

#include "widget/analyze.h"
#include "widget/catalog.h"

extern char *dc_describe_relation(Oid relid);
extern char *dc_describe_key(const DcSourceRow *row);
extern char *dc_describe_condition(const DcSource *source);
extern void dc_describe_widget(const char *widget, const char *dashboard,
							   const DcAnalysis *analysis, List *rows);

#endif							/* DASHCACHE_DESCRIBE_H */
