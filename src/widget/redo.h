/*-------------------------------------------------------------------------
 *
 * redo.h
 *		Looking at a widget again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_REDO_H
#define DASHCACHE_REDO_H

#include "postgres.h"

#include "widget/analyze.h"
#include "widget/settings.h"
#include "widget/standing.h"

extern DcAnalysis *dc_redo_analysis(Oid owner, const DcSettings *settings,
									const char *query, DcRoles *roles,
									DcStanding *standing, bool admit);
extern List *dc_redo_sources(uint32 widget, DcAnalysis *analysis);
extern int64 dc_redo_standing(const DcRoles *roles, const DcStanding *before);
extern void dc_redo_write_roles(uint32 widget, const DcRoles *roles,
								const DcStanding *before);
extern void dc_redo_version(uint32 widget, uint64 version, const char *problem);
extern bool dc_redo_widget(uint32 widget, uint64 version, bool if_different,
						   bool repair);

#endif							/* DASHCACHE_REDO_H */
