/*-------------------------------------------------------------------------
 *
 * answer_stamps.h
 *		The stamps that an answer depends on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_ANSWER_STAMPS_H
#define DASHCACHE_ANSWER_STAMPS_H

#include "postgres.h"

#include "consistency/validity.h"
#include "widget/metacache.h"

extern uint32 dc_definition_stamp(uint32 widget);
extern DcDependencies *dc_answer_dependencies(DcWidget *widget, Datum tenant,
											  uint32 **hashes);
extern void dc_answer_changed(DcWidget *widget, Datum tenant,
							  const DcCulprit *culprit);

extern void dc_purge_announce(const char *dashboard);
extern bool dc_purges_seen(const char *dashboard, const DcSnapshot *snapshot);

#endif							/* DASHCACHE_ANSWER_STAMPS_H */
